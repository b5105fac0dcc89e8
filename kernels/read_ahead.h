/* read_ahead.h - how matrix kernels ask memory for weights before they need them. That belongs to a processor, not to
 * an instruction set: what lets one core read at its memory's speed makes another slower. It is a hint, so results are
 * the same bits whatever is chosen.
 *
 * One setting holds for the process: first the row of the processor's maker, then whatever was chosen last, after
 * experts/measure_reading.h has measured. Any thread may choose at any time; what a product began with, it keeps. */
#ifndef KERNELS_READ_AHEAD_H
#define KERNELS_READ_AHEAD_H

#include <stdbool.h>
#include <stddef.h>

struct read_ahead {
    size_t distance;  /* bytes from what is read to what is asked for                                      */
    bool   takes_all; /* every line; else, with one token and one stream, a line now and then: the core
                       * follows a stream by itself, but not into the next page of 4 KB                    */
};

struct read_ahead_row {
    const char       *name;
    const char       *vendor; /* of the processors that begin with it, as CPUID writes it; or NULL */
    struct read_ahead how;
};

/* Row i, or NULL past the end. Row 0 is that of processors that no row names. */
const struct read_ahead_row *cm_read_ahead_row(int i);
const struct read_ahead_row *cm_read_ahead_of_vendor(const char *vendor);

const struct read_ahead_row *cm_read_ahead(void);
void                         cm_read_ahead_choose(const struct read_ahead_row *row);

#endif
