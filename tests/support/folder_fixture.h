/* tests/support/folder_fixture.h - set-up and tear-down of a test program that works in a folder of its own. */
#ifndef TESTS_SUPPORT_FOLDER_FIXTURE_H
#define TESTS_SUPPORT_FOLDER_FIXTURE_H

#include "tests/support/temp_folder.h"

extern struct temp_folder *folder; /* between the two */

int open_folder(void **state);
/* The same, with tiny_model() in a file there. */
extern char tiny_path[600];
int open_folder_with_tiny(void **state);
/* Fails where the library still holds memory. */
int close_folder(void **state);

#endif
