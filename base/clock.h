/* base/clock.h - monotonic time. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Nanoseconds since some fixed moment; never runs backwards. */
uint64_t cm_now_ns(void);

#endif
