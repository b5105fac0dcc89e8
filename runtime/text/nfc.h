/* runtime/text/nfc.h - Unicode's normalisation form C, which some models' tokenizers apply to a text before
 * they cut it: a letter and its accent become the one character that says both, and marks on one letter stand
 * in one order (Unicode Standard Annex 15). */
#ifndef RUNTIME_TEXT_NFC_H
#define RUNTIME_TEXT_NFC_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct nfc_mark {
    uint32_t point;
    uint32_t combining; /* its canonical combining class, 1 to 254 */
};

struct nfc { /* scratch and result of one text after the other; zeroed = empty */
    char            *out; /* (n of n_room bytes) */
    size_t           n, n_room;
    uint32_t         starter;   /* the last point of class 0, which later ones may still change */
    int              has_starter;
    struct nfc_mark *marks;     /* (n_marks of 2 * n_marks_room) those that follow it; the second half is for sorting */
    size_t           n_marks, n_marks_room;
};

/* *out: text[0 .. n_bytes) in form C, (*n_out) bytes; text itself where it is in that form, else borrowed until
 * the next call. Any bytes are accepted: one that belongs to no character stays as it is and is combined with
 * nothing. Time is linear in the text, whatever marks it stacks. NO_MEMORY. */
calmoe_status cm_nfc(struct calmoe_context *ctx, struct nfc *nfc, const char *text, size_t n_bytes,
                     const char **out, size_t *n_out);
void          cm_nfc_close(struct nfc *nfc);

#endif
