/* runtime/mixers/no_mixer.c - the mixer of layers that have none: nothing is read, kept or added. */
#include "runtime/mixers/mixer.h"

static calmoe_status pack(const struct mixer_place *place, struct pack_list *list, int layer,
                          const struct layer_tensors *tensors, void **weights)
{
    (void)place, (void)list, (void)layer, (void)tensors;
    *weights = NULL;
    return CALMOE_OK;
}

static calmoe_status open_work(const struct mixer_place *place, void **work)
{
    (void)place;
    *work = NULL;
    return CALMOE_OK;
}

static void nothing(void **of) { (void)of; }

static size_t no_bytes(const void *weights)
{
    (void)weights;
    return 0;
}

static void plan(void *work, const struct batch *batch) { (void)work, (void)batch; }

/* No barrier either: what each worker's own rows are, nobody has touched. */
static void run(struct batch *batch, int layer, const struct worker *me) { (void)batch, (void)layer, (void)me; }

static void fill(struct batch *batch, const struct mixer_fill *of, const struct worker *me)
{
    (void)batch, (void)of, (void)me;
}

static void gathers(const struct mixer *mixer, const struct layer_spec *layer, int dim, int n_rows,
                    struct gatherings *out)
{
    (void)mixer;
    (void)layer, (void)dim, (void)n_rows, (void)out;
}

static int n_barriers(const struct mixer *mixer, const struct layer_spec *layer, int n_workers)
{
    (void)mixer, (void)layer, (void)n_workers;
    return 0;
}

static size_t fixed_bytes(const struct layer_spec *layer)
{
    (void)layer;
    return 0;
}

extern const struct mixer cm_mixer_none;
const struct mixer cm_mixer_none = {
    .name = "none", .gathers = gathers, .n_barriers = n_barriers, .pack = pack, .drop = nothing,
    .step_bytes = no_bytes, .fill_bytes = no_bytes, .open = open_work, .close = nothing, .plan = plan, .run = run,
    .fill = fill, .fixed_bytes = fixed_bytes,
};
