/* calmoe/fit_exits.h - fits early exits to a model that was not trained for them.
 *
 * The model reads a text. For some of its layers, two things are fitted to the states after the layer: a translator, a
 * low-rank affine map from that state to the state after the last layer (a part of the same step serves for the keys
 * and values of each skipped layer); and a classifier, which predicts whether the exit's token is the full model's.
 * Both are then judged on text that they were not fitted to. The resulting file is for calmoe_engine_options.exits. */
#ifndef CALMOE_FIT_EXITS_H
#define CALMOE_FIT_EXITS_H

#include "calmoe/engine.h"
#include "calmoe/policy.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct calmoe_fit_options {
    size_t         size;        /* set by calmoe_fit_options_init()                                          */
    const int     *layers;      /* (n_layers) exits stand after so many layers, ascending, at most CALMOE_MAX_EXITS
                                   of them; NULL = about 1/2, 2/3 and 5/6 of the model's layers (default)    */
    int            n_layers;
    int            rank;        /* rank of translators, up to the model's width; 0 = none; default 64, or the width
                                   if that is less                                                             */
    double         ridge;       /* ridge regularisation of translators, as a share of the states' variance; default
                                   1e-3                                                                      */
    int            classifiers; /* 1: fit classifiers too (default)                                          */
    int            window;      /* tokens in a sequence; 0 = 512, or as many as the model was trained for (default) */
    const int32_t *held_out;    /* (n_held_out) tokens to judge on; NULL = every tenth window of the text, which is
                                   then not fitted to (default)                                              */
    size_t         n_held_out;
    size_t         memory;      /* bytes for the states of a sample, on which it is decided whether translators help
                                   and to which classifiers are fitted; default 256 MB                       */
    double         save_every;  /* seconds between savings of the sums; default 60                           */
    calmoe_progress_fn progress; /* NULL = none (default)                                                    */
    void          *progress_user;
} calmoe_fit_options;

CALMOE_API void calmoe_fit_options_init(calmoe_fit_options *options);

typedef struct calmoe_exit_quality { /* of the output head applied at one exit; shares from 0 to 1 */
    double agreement;      /* tokens whose likeliest next token is the full model's   */
    double sure;           /* tokens for which the two largest probabilities differ by at least 0.5 */
    double sure_agreement; /* of these, the share whose likeliest token is the full model's */
    double reached;        /* tokens for which this exit or an earlier one gives the full model's token */
} calmoe_exit_quality;

typedef struct calmoe_fitted_exit {
    int    layer;
    int    rank;                /* rank of the translator; 0 = there is none                    */
    double explained;           /* share of the variance of the translator's target that it explains           */
    double tried_before;        /* share of tokens, in windows that were not fitted to, where the head gives the full
                                   model's token from the state as it is …                                    */
    double tried_after;         /* … and from the translated state                              */
    int    is_dropped;          /* 1: the translator did not clearly help there, and was left out */
    double skipped_before;      /* relative squared error of the state at the exit, used for the keys and values of a
                                   skipped layer, against the full model's state there; mean over these layers … */
    double skipped_after;       /* … and of the state moved in the translator's direction; both are 0 without a
                                   translator                                                        */
    int    has_classifier;      /* 0 also if the exit's token was always, or never, the full model's */
    double chosen;              /* tokens for which the classifier's confidence is at least 0.5 */
    double chosen_agreement;    /* of these, the share whose token is the full model's          */
    calmoe_exit_quality before; /* of the head on the state as it is                            */
    calmoe_exit_quality after;  /* of the head on the translated state                          */
} calmoe_fitted_exit;

typedef struct calmoe_exit_way { /* how far tokens go when all exits of the file may be taken */
    double oracle_layers;  /* mean layers if each token left at the first exit that gives the full model's token */
    double sure_layers;    /* mean layers if each token left at the first exit where the two largest probabilities
                              differ by at least 0.5                                                */
    double sure_agreement; /* share of tokens that are then the full model's                        */
} calmoe_exit_way;

typedef struct calmoe_fit_report {
    size_t             size;     /* set by the caller to sizeof(calmoe_fit_report) */
    uint64_t           n_fitted; /* tokens                                         */
    uint64_t           n_judged;
    int                resumed;  /* 1: the call continued from sums that an earlier call had saved */
    int                n_layers; /* layers of the model                            */
    calmoe_exit_way    before, after;
    int                n_exits;
    calmoe_fitted_exit exits[CALMOE_MAX_EXITS];
} calmoe_fit_report;

/* Reads tokens (n_tokens) in windows, each of which is a sequence of its own; fits, judges, and writes the file at
 * path. One of every ten windows is kept from the translators, to decide whether they help. The engine must have no
 * sessions and no exits, and is afterwards as it was before. Needs 16 width^2 bytes of memory for each exit, and
 * options->memory.
 *
 * Sums are saved to "PATH.sums" from time to time, and when progress cancels the call. The next call with the same
 * model, tokens, layers and window continues from there; the file is removed once the result is written. report may be
 * NULL. INVALID_ARGUMENT, NO_MEMORY, UNSUPPORTED (OpenBLAS is not installed), IO, CANCELLED. */
CALMOE_API calmoe_status calmoe_fit_exits(calmoe_engine *engine, const int32_t *tokens, size_t n_tokens,
                                          const calmoe_fit_options *options, const char *path,
                                          calmoe_fit_report *report);

#ifdef __cplusplus
}
#endif
#endif
