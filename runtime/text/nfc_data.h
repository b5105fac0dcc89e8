/* runtime/text/nfc_data.h - the tables of nfc.c. A point is a Unicode code point. */
#ifndef RUNTIME_TEXT_NFC_DATA_H
#define RUNTIME_TEXT_NFC_DATA_H

#include <stdint.h>

struct nfc_pair {
    uint32_t made, first, second;
};
struct nfc_run {
    uint32_t first, last;
    uint32_t at; /* row of the first one's entry in another table */
};
struct nfc_class {
    uint32_t first, last;
    uint32_t combining;
};
struct nfc_range {
    uint32_t first, last;
};

extern const struct nfc_pair  cm_nfc_made[];
extern const uint16_t         cm_nfc_made_order[]; /* (cm_nfc_n_made) */
extern const struct nfc_pair  cm_nfc_apart[];
extern const struct nfc_run   cm_nfc_single_runs[];
extern const uint32_t         cm_nfc_singles[];
extern const struct nfc_class cm_nfc_classes[];
extern const struct nfc_range cm_nfc_unclean[];
extern const int cm_nfc_n_made, cm_nfc_n_apart, cm_nfc_n_single_runs, cm_nfc_n_classes, cm_nfc_n_unclean;

#endif
