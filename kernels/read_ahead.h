/* read_ahead.h - how matrix kernels prefetch weights. The best way depends on the processor, not on the instruction
 * set: what lets one core read at the speed of its memory makes another core slower. Prefetching is a hint, so results
 * are the same bits whatever is chosen.
 *
 * The whole process has one setting: first the table's row for the processor's maker, later whatever was chosen last,
 * after the measurement of experts/measure_reading.h. Any thread may choose at any time; a product that is being
 * computed keeps the setting that it began with. */
#ifndef KERNELS_READ_AHEAD_H
#define KERNELS_READ_AHEAD_H

#include <stdbool.h>
#include <stddef.h>

struct read_ahead {
    size_t distance;  /* bytes between what is being read and what is prefetched                           */
    bool   takes_all; /* prefetch every cache line; else, with one token and one stream, only a line now and then:
                         the core follows a stream by itself, but not into the next page of 4 KB           */
};

struct read_ahead_row {
    const char       *name;
    const char       *vendor; /* beginning of the processor's vendor text in CPUID; or NULL        */
    struct read_ahead how;
};

/* The i-th row, or NULL past the end. Row 0 is for processors that no row names. */
const struct read_ahead_row *cm_read_ahead_row(int i);
const struct read_ahead_row *cm_read_ahead_of_vendor(const char *vendor);

const struct read_ahead_row *cm_read_ahead(void);
void                         cm_read_ahead_choose(const struct read_ahead_row *row);

#endif
