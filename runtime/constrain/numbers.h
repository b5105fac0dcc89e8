/* runtime/constrain/numbers.h - numbers of JSON as programs, also those between two bounds: compared digit by digit. */
#ifndef RUNTIME_CONSTRAIN_NUMBERS_H
#define RUNTIME_CONSTRAIN_NUMBERS_H

#include "runtime/constrain/program.h"

struct bounds {
    bool   has_least, has_most;
    bool   is_above, is_below; /* the bound itself is left out */
    double least, most;
};

/* Of at most 15 digits before and behind the point, so that every reader reads them exactly. Without bounds also
 * with an exponent of up to 2 digits. is_whole: integers. INVALID_ARGUMENT where nothing lies between the bounds;
 * UNSUPPORTED for bounds of more than 15 digits. where: for messages. */
int32_t cm_emit_number(struct program *program, const struct bounds *bounds, bool is_whole, const char *where,
                       int32_t next);

#endif
