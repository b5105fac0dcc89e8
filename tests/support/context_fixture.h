/* tests/support/context_fixture.h - the folder of folder_fixture.h and a context beside it. */
#ifndef TESTS_SUPPORT_CONTEXT_FIXTURE_H
#define TESTS_SUPPORT_CONTEXT_FIXTURE_H

#include <calmoe/context.h>

#include "tests/support/folder_fixture.h"

extern calmoe_context *context; /* between the two */

int open_folder_and_context(void **state);
/* Fails where the library still holds memory. */
int close_folder_and_context(void **state);

#endif
