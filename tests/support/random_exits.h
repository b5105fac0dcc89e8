/* tests/support/random_exits.h - a file of fitted exits that hold random numbers. */
#ifndef TESTS_SUPPORT_RANDOM_EXITS_H
#define TESTS_SUPPORT_RANDOM_EXITS_H

/* Translators and classifiers after layers 1 and 3 of a model of five layers, as docs/FORMATS.md has them; path. */
const char *random_exits_write(const char *model_path, const char *path);

#endif
