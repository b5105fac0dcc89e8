/* calmoe/machine.h - measures what this machine can do at best: how fast its memory can be read, and how fast its
 * arithmetic units run. Reports of a model's speed give it as a share of these limits. */
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
    int    n_threads;   /* 0 = as many as an engine would use (default)            */
    int    pin_threads; /* CALMOE_PIN_* of engine.h (default CALMOE_PIN_AUTO) */
} calmoe_machine_options;

CALMOE_API void calmoe_machine_options_init(calmoe_machine_options *options);

typedef struct calmoe_rate { /* all threads together; best and median of several passes */
    double best;
    double median;
} calmoe_rate;

typedef struct calmoe_level_peaks { /* operations per second; a multiply-add counts as 2 */
    const char *isa;  /* "avx512vnni"                                                          */
    calmoe_rate int8; /* products of bytes, summed in int32; 0 if the instruction set has no such instruction */
    calmoe_rate f32;  /* float32 fused multiply-adds                                           */
    calmoe_rate bf16; /* products of bfloat16, summed in float32                               */
} calmoe_level_peaks;

typedef struct calmoe_delay { /* in seconds; 0 = there was nothing to measure */
    double least;
    double median;
} calmoe_delay;

typedef struct calmoe_machine {
    size_t             size;      /* set by the caller to sizeof(calmoe_machine)                     */
    char               cpu[64];   /* the name that the processor gives itself; "" = it gives none    */
    int                n_cores;   /* that this process may use                                       */
    int                n_nodes;
    int                n_threads; /* threads that took part in measuring                             */
    calmoe_rate        read;      /* bytes per second when all threads read from their own nodes     */
    calmoe_rate        node_read[CALMOE_MAX_NODES]; /* the same for one node, while only its threads read; 0 = it has
                                                       none                                                */
    int                n_levels;  /* instruction sets that this machine has                          */
    calmoe_level_peaks levels[CALMOE_MAX_LEVELS]; /* from the lowest, plain C, to the highest        */
    double             seconds;   /* time that measuring took                                        */
    calmoe_delay       line_near; /* time from a store by one core until another core sees it, if both share a
                                     last-level cache: half the round trip of a cache line, over 1 to 64 pairs of
                                     cores                                                                    */
    calmoe_delay       line_far;  /* the same for cores that share no cache, or are on different nodes */
    calmoe_delay       barrier;   /* a barrier of all threads, as there are between the phases of a layer */
} calmoe_machine;

/* Measures; this takes 1 to 2 seconds. Memory is read as weights are: in blocks on each thread's own node, with huge
 * pages where there are any, and far larger than the caches (64 to 256 MiB a thread). The arithmetic loops stay in
 * registers. Other work on the machine lowers every figure. options may be NULL. INVALID_ARGUMENT, NO_MEMORY,
 * SYSTEM. */
CALMOE_API calmoe_status calmoe_machine_measure(calmoe_context *context, const calmoe_machine_options *options,
                                                calmoe_machine *machine);

/* Measures the reading speed repeatedly in the same blocks of memory. On a machine that is shared with others this
 * speed drifts within minutes, so a benchmark measures it right before and after what it times. An open meter holds 512
 * MiB or more. */
typedef struct calmoe_read_meter calmoe_read_meter;

/* options may be NULL. INVALID_ARGUMENT, NO_MEMORY, SYSTEM. */
CALMOE_API calmoe_status calmoe_read_meter_open(calmoe_context *context, const calmoe_machine_options *options,
                                                calmoe_read_meter **meter);
CALMOE_API void          calmoe_read_meter_close(calmoe_read_meter **meter); /* sets it to NULL; NULL is fine */
/* The bytes per second of one pass by all threads, which takes 10 to 50 ms; 0 if meter is NULL. */
CALMOE_API double        calmoe_read_meter_pass(calmoe_read_meter *meter);

#ifdef __cplusplus
}
#endif
#endif
