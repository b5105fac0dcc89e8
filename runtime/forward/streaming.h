/* runtime/forward/streaming.h - whether routed experts fit under a limit of memory, and with how many slots they are
 * streamed from disk where they do not, or where a plan says which are (experts/expert_stream.h). For weights.c. */
#ifndef RUNTIME_FORWARD_STREAMING_H
#define RUNTIME_FORWARD_STREAMING_H

#include "runtime/forward/weights.h"

struct streaming {
    const struct machine         *machine;
    const struct model_spec      *spec;
    const struct weights_options *options;
    int                           n_planned;    /* experts that the plan streams; 0: it says nothing of it */
    int                           n_slots;      /* 0: nothing is streamed */
    uint64_t                      n_slot_bytes; /* of all of them         */
    uint64_t                      n_whole;      /* a limit for which nothing is; UINT64_MAX: the plan says that it is */
};

/* The list has all weights but routed experts. *out: a stream without experts yet, or NULL where there is no limit, or
 * room for all; unless the plan says which are streamed. */
calmoe_status cm_streaming_open(struct streaming *streaming, const struct model_tensors *tensors,
                                const struct pack_list *list, struct expert_stream **out);
/* All experts are in the stream: how many slots there is room for. INVALID_ARGUMENT: too few, and the sentence says
 * what the smallest limit is. stream NULL: whether the list keeps the limit. */
calmoe_status cm_streaming_fit(struct streaming *streaming, const struct pack_list *list,
                               const struct expert_stream *stream);
/* The slots are taken and filled; nothing for NULL. */
calmoe_status cm_streaming_start(const struct streaming *streaming, struct expert_stream *stream);

#endif
