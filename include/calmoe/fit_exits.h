/* calmoe/fit_exits.h - exits for a model that was not trained for them: fits, on text that the model reads, for some of
 * its layers a translator (what the last layer would make of the state, as a low-rank affine map; a part of the way
 * there for keys and values of each skipped layer) and a classifier (is the exit's token the full model's?), and says
 * how good they are on text that was not fitted.
 *
 * The file is for calmoe_engine_options.exits. */
#ifndef CALMOE_FIT_EXITS_H
#define CALMOE_FIT_EXITS_H

#include "calmoe/engine.h"
#include "calmoe/policy.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct calmoe_fit_options {
    size_t         size;        /* set by calmoe_fit_options_init()                                          */
    const int     *layers;      /* (n_layers) layers that have run, ascending, at most CALMOE_MAX_EXITS;
                                   NULL = about 1/2, 2/3 and 5/6 of the model's (default)                    */
    int            n_layers;
    int            rank;        /* of translators, up to the model's width; 0 = none; default 64, or the width */
    double         ridge;       /* of translators: share of the states' variance, default 1e-3               */
    int            classifiers; /* 1 (default): classifiers, too                                             */
    int            window;      /* tokens of a sequence; 0 = 512, or what the model was trained for (default) */
    const int32_t *held_out;    /* (n_held_out) tokens that are judged; NULL = every tenth window of the text,
                                   which then is not fitted (default)                                        */
    size_t         n_held_out;
    size_t         memory;      /* bytes for the states of a sample, default 256 MB: it decides whether translators
                                   help, and classifiers are fitted to it                                    */
    double         save_every;  /* seconds after which the sums are saved, default 60                        */
    calmoe_progress_fn progress; /* NULL = none (default)                                                    */
    void          *progress_user;
} calmoe_fit_options;

CALMOE_API void calmoe_fit_options_init(calmoe_fit_options *options);

typedef struct calmoe_exit_quality { /* of the head at one exit; shares from 0 to 1 */
    double agreement;      /* tokens whose likeliest token is the full model's        */
    double sure;           /* tokens with p1 - p2 of at least 0.5                     */
    double sure_agreement; /* of these, the share that agrees                         */
    double reached;        /* tokens that this exit or an earlier one agrees on       */
} calmoe_exit_quality;

typedef struct calmoe_fitted_exit {
    int    layer;
    int    rank;                /* 0: no translator                                             */
    double explained;           /* of what a translator was fitted to, the share of variance that it explains  */
    double tried_before;        /* tokens of windows that were not fitted on which the head as it is agrees … */
    double tried_after;         /* … and the translator                                         */
    int    is_dropped;          /* 1: there it did not clearly help, and was left out           */
    double skipped_before;      /* states that skipped layers read for keys and values, the exit's own, against the
                                   full model's: squared error, relative, mean of these layers …     */
    double skipped_after;       /* … and moved along the translator's way; both 0 without one        */
    int    has_classifier;      /* 0 too where the exit's token was always or never the full model's */
    double chosen;              /* tokens with a classifier's confidence of at least 0.5        */
    double chosen_agreement;    /* of these, the share that agrees                              */
    calmoe_exit_quality before; /* the head reads the state as it is                            */
    calmoe_exit_quality after;  /* as it is translated                                          */
} calmoe_fitted_exit;

typedef struct calmoe_exit_way { /* of tokens through all the exits of the file */
    double oracle_layers;  /* mean layers if each token left at the first exit that agrees          */
    double sure_layers;    /* mean layers if each left at the first exit with p1 - p2 of 0.5        */
    double sure_agreement; /* share of tokens that agree then                                       */
} calmoe_exit_way;

typedef struct calmoe_fit_report {
    size_t             size;     /* set by the caller to sizeof(calmoe_fit_report) */
    uint64_t           n_fitted; /* tokens                                         */
    uint64_t           n_judged;
    int                resumed;  /* 1: sums that an earlier call had saved were used */
    int                n_layers; /* of the model                                   */
    calmoe_exit_way    before, after;
    int                n_exits;
    calmoe_fitted_exit exits[CALMOE_MAX_EXITS];
} calmoe_fit_report;

/* Reads tokens (n_tokens) in windows that are sequences of their own, fits, judges and writes the file at path. Of ten
 * windows one is kept from translators, to see whether they help. The engine has no sessions and no exits, and is as
 * before afterwards. Memory: for each exit 16 width^2 bytes, and options->memory.
 *
 * Sums are saved to "PATH.sums" now and then and when progress stops the call; the next call with the same model,
 * tokens, layers and window goes on from there. It is removed when the file is written. report may be NULL.
 * INVALID_ARGUMENT, NO_MEMORY, UNSUPPORTED (no OpenBLAS), IO, CANCELLED. */
CALMOE_API calmoe_status calmoe_fit_exits(calmoe_engine *engine, const int32_t *tokens, size_t n_tokens,
                                          const calmoe_fit_options *options, const char *path,
                                          calmoe_fit_report *report);

#ifdef __cplusplus
}
#endif
#endif
