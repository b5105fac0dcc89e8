/* tests/support/thin.h - a thin run: the suite that finds what sanitizers find has walked each line of code when it has
 * taken one way of many that only differ in numbers. ./test.sh sets CALMOE_THIN_TESTS for that suite, --full does
 * not. */
#ifndef TESTS_SUPPORT_THIN_H
#define TESTS_SUPPORT_THIN_H

#include <stdbool.h>
#include <stdlib.h>

static inline bool tests_are_thin(void)
{
    const char *set = getenv("CALMOE_THIN_TESTS");
    return set && set[0] != '\0';
}

/* How often something is tried that differs in numbers only. */
static inline int full_or_thin(int full, int thin)
{
    return tests_are_thin() ? thin : full;
}

/* Whether the i-th of many ways is left out: a thin run takes every n-th of them. Where i counts on through a test, n
 * should not divide the length of its table, so that other rows are taken each time. */
static inline bool way_is_left_out(int i, int n)
{
    return tests_are_thin() && i % n != 0;
}

/* Numbers of threads from 1 to most; in a thin run 2 alone. */
#define FOR_THREADS(threads, most) \
    for (int threads = tests_are_thin() ? 2 : 1; threads <= (tests_are_thin() ? 2 : (most)); threads++)

#endif
