/* tools/model_request.h - the options that replace numbers of a model's file: --experts, --rope-… and --yarn-…, as rows
 * of an option table; and a function that opens the model with them. */
#ifndef TOOLS_MODEL_REQUEST_H
#define TOOLS_MODEL_REQUEST_H

#include <stdbool.h>

struct front; /* tools/front.h */

struct model_request { /* as given; 0 or NULL = not given */
    int         experts;
    const char *rope_scaling;
    float       rope_scale, rope_base;
    int         yarn_orig;
    float       yarn_attn_factor, yarn_beta_fast, yarn_beta_slow;
    int         share_file;
};

/* Rows for a table of struct cli_option. AT(member) is the offset of that member of the struct model_request in the
 * settings. */
#define MODEL_REQUEST_ROWS(AT)                                                                                        \
    {"experts", 0, CLI_INT, AT(experts), 0, 4096, "N",                                                                \
     "experts of each token in each layer, 0 = as the model was trained (default)"},                                  \
    {"rope-scaling", 0, CLI_TEXT, AT(rope_scaling), 0, 0, "HOW",                                                      \
     "positions for a longer context: none, linear, yarn (default: as the file says)"},                               \
    {"rope-scale", 0, CLI_REAL, AT(rope_scale), 0, 1e6, "F",                                                          \
     "the context becomes F times longer, 0 = as the file says (default)"},                                           \
    {"rope-base", 0, CLI_REAL, AT(rope_base), 0, 1e12, "B",                                                           \
     "base of the rotary frequencies, 0 = as the file says (default)"},                                               \
    {"yarn-orig", 0, CLI_INT, AT(yarn_orig), 0, 1 << 24, "N",                                                         \
     "with yarn, the context that is stretched, 0 = as the file says (default)"},                                     \
    {"yarn-attn-factor", 0, CLI_REAL, AT(yarn_attn_factor), 0, 1e3, "F",                                              \
     "with yarn, factor on the attention's magnitude, 0 = as the file says (default)"},                               \
    {"yarn-beta-fast", 0, CLI_REAL, AT(yarn_beta_fast), 0, 1e6, "B",                                                  \
     "with yarn, turns from which a pair is kept, 0 = as the file says (default)"},                                   \
    {"yarn-beta-slow", 0, CLI_REAL, AT(yarn_beta_slow), 0, 1e6, "B",                                                  \
     "with yarn, turns up to which a pair is stretched, 0 = as the file says (default)"},                             \
    {"share-file", 0, CLI_FLAG, AT(share_file), 0, 0, NULL,                                                           \
     "on several machines: only rank 0 has the model's file, and hands the others their rows of it"}

/* Opens front's model with the requested numbers. n_wanted: the number of experts that --width fixed:K keeps, 0 = it is
 * not given. If the file gives tokens fewer experts than that, and --experts is not given, the model is opened with
 * n_wanted. False with a sentence on stderr. */
bool cm_model_request_open(struct front *front, const char *path, const struct model_request *request, int n_wanted);

#endif
