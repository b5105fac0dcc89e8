/* runtime/load/number_check.h - are all weights of a tensor numbers? Reads the file piece by piece, by all workers. */
#ifndef RUNTIME_LOAD_NUMBER_CHECK_H
#define RUNTIME_LOAD_NUMBER_CHECK_H

#include "base/team.h"
#include "kernels/bad_numbers.h"
#include "runtime/load/model_file.h"

struct number_check;

/* team must outlive it. NO_MEMORY. */
calmoe_status cm_number_check_open(struct calmoe_context *ctx, struct team *team, struct number_check **out);
void          cm_number_check_close(struct number_check **check); /* NULL is fine */

/* Looks at all weights of a tensor that is_weight; places are counted through the tensor, shape[0] fastest. on_bytes,
 * where given, is told how many bytes were read since it was told last; not 0 = stop: CANCELLED. IO. */
calmoe_status cm_number_check_tensor(struct number_check *check, const struct model_file *file,
                                     const struct file_tensor *tensor, int (*on_bytes)(void *user, uint64_t n_bytes),
                                     void *user, struct bad_numbers *found);

enum { NUMBER_PLACE_BYTES = 96 };
/* "element 3"; "row 2, column 3"; "expert 1, row 2, column 3", counted from 0. */
void cm_number_place(const struct file_tensor *tensor, uint64_t place, char text[NUMBER_PLACE_BYTES]);

/* Fails with BAD_FILE: "'FILE': tensor 'NAME' holds …, the first …". */
calmoe_status cm_fail_bad_numbers(struct calmoe_context *ctx, const struct model_file *file,
                                  const struct file_tensor *tensor, const struct bad_numbers *found);

#endif
