/* calmoe/machine.h - what this machine can do at best, measured: how fast its memory can be read and how fast its
 * arithmetic units run. A model's speed is told as a share of these. */
#ifndef CALMOE_MACHINE_H
#define CALMOE_MACHINE_H

#include "calmoe/engine.h"
#include "calmoe/stats.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { CALMOE_MAX_LEVELS = 8 };

typedef struct calmoe_machine_options {
    size_t size;        /* set by calmoe_machine_options_init()                    */
    int    n_threads;   /* 0 = as of an engine (default)                           */
    int    pin_threads; /* CALMOE_PIN_* of engine.h (default CALMOE_PIN_AUTO) */
} calmoe_machine_options;

CALMOE_API void calmoe_machine_options_init(calmoe_machine_options *options);

typedef struct calmoe_rate { /* of several passes, all threads together */
    double best;
    double median;
} calmoe_rate;

typedef struct calmoe_level_peaks { /* in operations per second; a multiply-add counts 2 */
    const char *isa;  /* "avx512vnni"                                                          */
    calmoe_rate int8; /* products of bytes summed to int32; 0 where the level has no such instruction */
    calmoe_rate f32;  /* float32 fused multiply-adds                                           */
    calmoe_rate bf16; /* products of bfloat16 summed to float32                                */
} calmoe_level_peaks;

typedef struct calmoe_delay { /* in seconds; 0: there was nothing to measure */
    double least;
    double median;
} calmoe_delay;

typedef struct calmoe_machine {
    size_t             size;      /* set by the caller to sizeof(calmoe_machine)                     */
    char               cpu[64];   /* as the processor calls itself; "" = it does not                 */
    int                n_cores;   /* that this process may use                                       */
    int                n_nodes;
    int                n_threads; /* that measured                                                   */
    calmoe_rate        read;      /* bytes per second, every thread streaming from its own node      */
    calmoe_rate        node_read[CALMOE_MAX_NODES]; /* each node by its own threads alone; 0 = it has none */
    int                n_levels;  /* that this machine has                                           */
    calmoe_level_peaks levels[CALMOE_MAX_LEVELS]; /* ascending, plain C first                        */
    double             seconds;   /* that measuring took                                             */
    calmoe_delay       line_near; /* from a core's store until a core that waits for it sees it: pairs round one
                                     last-level cache; half of a round trip of a cache line, of 1 to 64 pairs */
    calmoe_delay       line_far;  /* pairs that share no cache, or stand on different nodes          */
    calmoe_delay       barrier;   /* a meeting of all threads, as layers have between their parts    */
} calmoe_machine;

/* Measures, in 1 to 2 seconds. Memory is read as weights are: from blocks on each thread's own node, with huge pages
 * where there are, far larger than the caches (64 to 256 MiB a thread). The arithmetic loops stay in registers.
 * Other work on the machine lowers every figure. options may be NULL. INVALID_ARGUMENT, NO_MEMORY, SYSTEM. */
CALMOE_API calmoe_status calmoe_machine_measure(calmoe_context *context, const calmoe_machine_options *options,
                                                calmoe_machine *machine);

/* The streaming read again and again, in the same blocks: on a machine that others share it drifts by the minute, so a
 * benchmark reads right before and after what it times. Holds 512 MiB or more until it is closed. */
typedef struct calmoe_read_meter calmoe_read_meter;

/* options may be NULL. INVALID_ARGUMENT, NO_MEMORY, SYSTEM. */
CALMOE_API calmoe_status calmoe_read_meter_open(calmoe_context *context, const calmoe_machine_options *options,
                                                calmoe_read_meter **meter);
CALMOE_API void          calmoe_read_meter_close(calmoe_read_meter **meter); /* sets it to NULL; NULL is fine */
/* Bytes per second of one pass by all threads, some 10 to 50 ms; 0 where meter is NULL. */
CALMOE_API double        calmoe_read_meter_pass(calmoe_read_meter *meter);

#ifdef __cplusplus
}
#endif
#endif
