/* tests/support/folder_fixture.c - see folder_fixture.h. */
#include "tests/support/folder_fixture.h"

#include <stdio.h>

#include "base/memory.h"
#include "tests/support/tiny_model.h"

struct temp_folder *folder;

int open_folder(void **state)
{
    (void)state; /* a test's own, where it has one */
    folder = temp_folder_open();
    return 0;
}

char tiny_path[600];

int open_folder_with_tiny(void **state)
{
    const struct tiny_model tiny = tiny_model();
    open_folder(state);
    snprintf(tiny_path, sizeof tiny_path, "%s", temp_file(folder, "tiny.gguf"));
    tiny_model_write(&tiny, tiny_path);
    return 0;
}

int close_folder(void **state)
{
    (void)state;
    temp_folder_close(&folder);
    return cm_live_blocks() == 0 ? 0 : -1;
}
