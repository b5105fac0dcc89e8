/* bench/bench.h - what calmoe-bench measures, the figures that it makes of it, and how they are reported. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <calmoe/calmoe.h>
#include <calmoe/machine.h>
#include <calmoe/synthetic.h>
#include <stdbool.h>

#include "tools/front.h"

enum { BENCH_MAX_REPEATS = 1000, BENCH_MAX_SLICES = 4000, BENCH_MAX_BATCH = 4096, BENCH_MAX_LIST = 32,
       BENCH_MAX_ROWS_IN_STEP = 512 };

/* ---- what was asked for ---- */

struct bench_ints {
    int n;
    int values[BENCH_MAX_LIST];
};

struct bench_plan {
    struct bench_ints prompts, answers, batches, depths; /* a 0 among prompts or answers is no test */
    int               n_repeats;
    int               n_slices; /* 0, or in how many what counting costs is measured */
    const struct adapters *adapters; /* that all sessions use; NULL = none           */
};

/* "512,1024" into *out. Else one sentence on stderr and false. */
bool cm_bench_read_ints(const char *command, const char *option, const char *text, int min, int max,
                        struct bench_ints *out);

/* One test: what stands in one row. */
struct bench_test {
    bool is_prompt; /* a prompt is read, by one session; else all sessions of the batch take token after token */
    int  n_tokens;  /* of each session                                                                        */
    int  batch;
    int  depth;     /* positions that each session has before                                                */
};

/* Test i of a plan, prompts first; false past the last. */
bool cm_bench_test_at(const struct bench_plan *plan, int i, struct bench_test *out);

/* ---- the model ---- */

/* What the figures need to know of a model, from its tensors. */
struct bench_model {
    calmoe_model_info info;
    char              name[128];
    char              type[16];               /* of most bytes of the file                            */
    double            active_bytes_per_token; /* of the file, that one token reads: of experts those used */
    double            body_operations;        /* of one row: 2 for each weight of the matrices but the head */
    double            head_operations;        /* of one row of logits                                 */
    double            kv_bytes_per_position;
};
bool cm_bench_describe(const struct front *front, bool kv_float32, struct bench_model *out);

/* ---- results ---- */

struct bench_row { /* NAN where there is nothing to measure */
    const struct bench_model *model;
    const calmoe_machine     *machine;   /* the limits that shares refer to          */
    const char               *isa;
    int                       n_threads;
    double                    mean_threads; /* that took part in a step, mean over time */
    struct bench_test         test;
    char                      name[48];  /* "pp512", "tg128@4096", "tg128+lora"      */
    int                       n_adapters;
    int                       n_repeats;
    double                    median, min, max; /* tokens per second                 */
    bool                      is_noisy;  /* (max - min) / median is above BENCH_NOISE */
    double                    open_seconds;     /* model and engine                  */
    double                    bytes_per_s;      /* packed weights, keys and values that steps read */
    double                    read_bytes_per_s; /* streaming read round the repetitions, median */
    double                    bandwidth_share;  /* bytes_per_s by read_bytes_per_s   */
    double                    operations_per_s; /* of the matrices                   */
    double                    peak_share;       /* of the level's best rate          */
    double                    wait_share;
    double                    phase_share[CALMOE_N_PHASES]; /* of the time of steps  */
    double                    imbalance;
    double                    experts_touched;  /* of a layer in a step              */
    uint64_t                  n_packed_bytes;
    int                       n_nodes;
    uint64_t                  node_bytes[CALMOE_MAX_NODES];
    double                    node_reads[CALMOE_MAX_NODES]; /* packed weights that steps read there, by tokens */
    double                    remote_bytes;   /* of them that threads of other nodes read, by tokens */
    int                       n_ranks;        /* that run the model; 1 = this process alone              */
    double                    exchanges, exchange_bytes, exchange_seconds; /* of rank 0, by tokens, where there are
                                                 others: bytes received; waiting for slower ranks included           */
    calmoe_disk_stats         disk;           /* of all repetitions; n_slots 0: all experts were in memory */
    double                    disk_tokens;    /* that these took                                     */
    double                    counting, counting_low, counting_high; /* time with counting / without - 1: median of
                                                 groups of slices, and its interval of 95 % confidence */
};
#define BENCH_NOISE 0.10

struct bench_replay;

/* One warm-up, then the repetitions, the streaming read before and after each. replay may be NULL. False with a
 * sentence on stderr. */
bool cm_bench_measure(const struct front *front, const struct bench_plan *plan, const struct bench_test *test,
                      struct bench_replay *replay, struct bench_row *row);

/* Fills in all that follows from what the engine counted over n_repeats repetitions. Pure. */
void cm_bench_figures(const calmoe_stats *stats, const double *phases, struct bench_row *row);
/* Keys and values that one repetition reads. Pure. */
double cm_bench_kv_bytes(const struct bench_test *test, double kv_bytes_per_position);
/* The peak of the level that serves weights of that type; 0 where the machine measured none. Pure. */
double cm_bench_peak(const calmoe_machine *machine, const char *isa, const char *type);

/* ---- reports ---- */

/* A form of output. begin and end may be NULL; each answers false when stdout cannot be written. */
struct bench_format {
    const char *name;
    bool (*begin)(const calmoe_machine *machines, int n_machines);
    bool (*row)(const struct bench_row *row);
    bool (*end)(const struct bench_row *rows, int n_rows);
    bool (*limits)(const calmoe_machine *machines, int n_machines); /* alone, of --limits */
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
    calmoe_synthetic_options options;   /* its texts point into this struct: it is not moved          */
};

/* Reads the shape file, by name from the folder of shapes or by path. False with a sentence (file and line). */
bool cm_bench_read_shape(const char *shape, struct bench_synthetic *out);
/* "SHAPE:TYPE", of n_spec bytes. False with a sentence. */
bool cm_bench_read_synthetic(const char *spec, size_t n_spec, struct bench_synthetic *out);
/* Writes the model to `save`, or (save NULL) to a temporary file that is gone once the model is open, and opens it in
 * *front with the numbers wanted. *start: the time at which opening began. False with a sentence; then no temporary
 * file is left. */
bool cm_bench_open_synthetic(struct front *front, const struct bench_synthetic *synthetic, const char *save,
                             const struct model_request *numbers, double *start);

/* A recorded trace, replayed from its beginning again and again. */
bool cm_bench_replay_open(const struct front *front, const char *path, struct bench_replay **out);
void cm_bench_replay_close(struct bench_replay **replay);
/* False with a sentence where the trace does not have the model's layers and experts. */
bool cm_bench_replay_fits(const struct bench_replay *replay, const calmoe_model_info *info);
/* A calmoe_routing_source_fn on a replay. */
void cm_bench_replay_choose(void *replay, const calmoe_routing_choice *choice);
/* Which rows come next: session -1: row i is of session i of n_sessions; else all rows are of that session. */
void cm_bench_replay_rows(struct bench_replay *replay, int session, int n_sessions);

#endif
