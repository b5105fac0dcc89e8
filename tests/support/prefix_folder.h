/* tests/support/prefix_folder.h - prefixes (prefix tuning) in folders as PEFT writes them: of any numbers, or of the
 * keys and values that a session keeps, so that a session behind the prefix must go on as that session does. */
#ifndef TESTS_SUPPORT_PREFIX_FOLDER_H
#define TESTS_SUPPORT_PREFIX_FOLDER_H

#include <calmoe/calmoe.h>

/* numbers: (n_positions, n_columns). Makes the folder. */
void prefix_folder_write(const char *path, int n_positions, int n_columns, const float *numbers);
/* The first n_positions of what the session has read; all its layers attend, with heads of one size and number. */
void prefix_folder_write_read(const char *path, const calmoe_session *session, int n_positions);
/* Random ones for that session's model. */
void prefix_folder_write_random(const char *path, const calmoe_session *session, int n_positions, uint64_t seed);

#endif
