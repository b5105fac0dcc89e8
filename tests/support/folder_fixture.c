/* tests/support/folder_fixture.c - see folder_fixture.h. */
#include "tests/support/folder_fixture.h"

#include "base/memory.h"

struct temp_folder *folder;

int open_folder(void **state)
{
    (void)state; /* a test's own, where it has one */
    folder = temp_folder_open();
    return 0;
}

int close_folder(void **state)
{
    (void)state;
    temp_folder_close(&folder);
    return cm_live_blocks() == 0 ? 0 : -1;
}
