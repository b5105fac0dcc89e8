/* bench/bench.h - what calmoe-bench measures, the figures that it computes from that, and how it reports them. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <calmoe/calmoe.h>
#include <calmoe/machine.h>
#include <calmoe/synthetic.h>
#include <stdbool.h>

#include "tools/front.h"

enum { BENCH_MAX_REPEATS = 1000, BENCH_MAX_SLICES = 4000, BENCH_MAX_BATCH = 4096, BENCH_MAX_LIST = 32,
       BENCH_MAX_ROWS_IN_STEP = 512 };

/* ---- the request ---- */

struct bench_ints {
    int n;
    int values[BENCH_MAX_LIST];
};

struct bench_plan {
    struct bench_ints prompts, answers, batches, depths; /* a 0 in prompts or answers asks for no test */
    int               n_repeats;
    int               n_slices; /* in how many slices the cost of counting is measured; 0 = not at all */
    const struct adapters *adapters; /* used by all sessions; NULL = none            */
};

/* Reads "512,1024" into *out; else prints one sentence on stderr and returns false. */
bool cm_bench_read_ints(const char *command, const char *option, const char *text, int min, int max,
                        struct bench_ints *out);

/* One test, which becomes one row of the report. */
struct bench_test {
    bool is_prompt; /* true: one session reads a prompt; false: all sessions of the batch generate token after token */
    int  n_tokens;  /* for each session                                                                       */
    int  batch;
    int  depth;     /* positions that each session has read before                                           */
};

/* The i-th test of a plan, prompts first; false past the last. */
bool cm_bench_test_at(const struct bench_plan *plan, int i, struct bench_test *out);

/* ---- the model ---- */

/* What the figures need to know about a model, from its tensors. */
struct bench_model {
    calmoe_model_info info;
    char              name[128];
    char              type[16];               /* the type of most bytes of the file                   */
    double            active_bytes_per_token; /* bytes of the file that one token reads: of the experts, only those
                                                 that it takes                                            */
    double            body_operations;        /* for one row: 2 for each weight of all matrices except the output
                                                 head                                                       */
    double            head_operations;        /* for one row of logits                                */
    double            kv_bytes_per_position;
};
bool cm_bench_describe(const struct front *front, bool kv_float32, struct bench_model *out);

/* ---- results ---- */

struct bench_row { /* NAN = not measured */
    const struct bench_model *model;
    const calmoe_machine     *machine;   /* the limits of which shares are given     */
    const char               *isa;
    int                       n_threads;
    double                    mean_threads; /* threads that took part in a step, mean over time */
    struct bench_test         test;
    char                      name[48];  /* "pp512", "tg128@4096", "tg128+lora"      */
    int                       n_adapters;
    int                       n_repeats;
    double                    median, min, max; /* tokens per second                 */
    bool                      is_noisy;  /* (max - min) / median is above BENCH_NOISE */
    double                    open_seconds;     /* to open model and engine          */
    double                    bytes_per_s;      /* packed weights, keys and values that steps read */
    double                    read_bytes_per_s; /* reading speed of the machine, measured before and after each
                                                   repetition; median                           */
    double                    bandwidth_share;  /* bytes_per_s / read_bytes_per_s    */
    double                    operations_per_s; /* operations of the matrices        */
    double                    peak_share;       /* share of the best rate that the instruction set reaches */
    double                    wait_share;
    double                    phase_share[CALMOE_N_PHASES]; /* shares of the time of steps */
    double                    imbalance;
    double                    experts_touched;  /* experts of a layer that a step uses, mean */
    uint64_t                  n_packed_bytes;
    int                       n_nodes;
    uint64_t                  node_bytes[CALMOE_MAX_NODES];
    double                    node_reads[CALMOE_MAX_NODES]; /* packed weights read from each node, per token   */
    double                    remote_bytes;   /* of these, bytes read by threads of other nodes, per token */
    int                       n_ranks;        /* ranks that run the model; 1 = this process alone        */
    double                    exchanges, exchange_bytes, exchange_seconds; /* of rank 0, per token, if there are
                                                                              several ranks: exchanges; bytes
                                                                              received; seconds, including the wait
                                                                              for slower ranks                       */
    calmoe_disk_stats         disk;           /* over all repetitions; n_slots 0: all experts are in memory */
    double                    disk_tokens;    /* tokens of these repetitions                         */
    double                    counting, counting_low, counting_high; /* time with counting / time without - 1: median
                                                                        over groups of slices, and its 95 %
                                                                        confidence interval            */
};
#define BENCH_NOISE 0.10

struct bench_replay;

/* Runs one warm-up and then the repetitions, and measures the machine's reading speed before and after each. replay may
 * be NULL. False with a sentence on stderr. */
bool cm_bench_measure(const struct front *front, const struct bench_plan *plan, const struct bench_test *test,
                      struct bench_replay *replay, struct bench_row *row);

/* Computes all figures that follow from the engine's statistics over n_repeats repetitions. Pure. */
void cm_bench_figures(const calmoe_stats *stats, const double *phases, struct bench_row *row);
/* Bytes of keys and values that one repetition reads. Pure. */
double cm_bench_kv_bytes(const struct bench_test *test, double kv_bytes_per_position);
/* The machine's peak rate for weights of that type; 0 if none was measured. Pure. */
double cm_bench_peak(const calmoe_machine *machine, const char *isa, const char *type);

/* ---- reports ---- */

/* A form of output. begin and end may be NULL. The functions return false if stdout cannot be written. */
struct bench_format {
    const char *name;
    bool (*begin)(const calmoe_machine *machines, int n_machines);
    bool (*row)(const struct bench_row *row);
    bool (*end)(const struct bench_row *rows, int n_rows);
    bool (*limits)(const calmoe_machine *machines, int n_machines); /* only the limits, for --limits */
};
const struct bench_format *cm_bench_format(const char *name); /* NULL: there is none */
const char                *cm_bench_format_names(void);       /* "md, csv, …"        */
extern const struct bench_format cm_bench_md, cm_bench_csv, cm_bench_json, cm_bench_jsonl;

/* Prints a piece of text to stdout. */
bool cm_bench_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- synthetic models and recorded routing ---- */

struct bench_synthetic { /* one item of --synthetic */
    char                     spec[192]; /* as typed: "a1b:q4_0"                                       */
    char                     name[128], family[32], type[16], kinds[128];
    calmoe_synthetic_options options;   /* its texts point into this struct, so it must not be moved  */
};

/* Reads a shape file, given by its name in the folder of shapes or by its path. False with a sentence that names file
 * and line. */
bool cm_bench_read_shape(const char *shape, struct bench_synthetic *out);
/* "SHAPE:TYPE", of n_spec bytes. False with a sentence. */
bool cm_bench_read_synthetic(const char *spec, size_t n_spec, struct bench_synthetic *out);
/* Writes the model to `save`, or, if that is NULL, to a temporary file that is removed once the model is open; then
 * opens it in *front with the requested numbers. *start: the time at which opening began. False with a sentence; then
 * no temporary file is left. */
bool cm_bench_open_synthetic(struct front *front, const struct bench_synthetic *synthetic, const char *save,
                             const struct model_request *numbers, double *start);

/* A recorded trace, which is replayed; after its end it starts again from its beginning. */
bool cm_bench_replay_open(const struct front *front, const char *path, struct bench_replay **out);
void cm_bench_replay_close(struct bench_replay **replay);
/* False with a sentence if the trace does not have the model's layers and experts. */
bool cm_bench_replay_fits(const struct bench_replay *replay, const calmoe_model_info *info);
/* A calmoe_routing_source_fn on a replay. */
void cm_bench_replay_choose(void *replay, const calmoe_routing_choice *choice);
/* Says which rows come next: session -1: row i belongs to session i of n_sessions; else all rows belong to that
 * session. */
void cm_bench_replay_rows(struct bench_replay *replay, int session, int n_sessions);

#endif
