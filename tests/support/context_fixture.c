/* tests/support/context_fixture.c - see context_fixture.h. */
#include "tests/support/context_fixture.h"

calmoe_context *context;

int open_folder_and_context(void **state)
{
    return open_folder(state) == 0 && calmoe_context_open(NULL, &context) == CALMOE_OK ? 0 : -1;
}

int close_folder_and_context(void **state)
{
    calmoe_context_close(&context);
    return close_folder(state);
}
