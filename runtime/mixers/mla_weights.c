/* runtime/mixers/mla_weights.c - the tensors of latent attention as it runs them: matrices of all heads packed where
 * the plan's shares put their rows, those of one head on the node that has the head's queries. */
#include <string.h>

#include "base/memory.h"
#include "experts/placement.h"
#include "runtime/mixers/mla_parts.h"

static size_t elements_of(const struct file_tensor *tensor) { return tensor ? (size_t)tensor->shape[0] : 0; }

static calmoe_status read_vectors(struct calmoe_context *ctx, const struct layer_tensors *t, struct mla_weights *out)
{
    const struct {
        float                   **to;
        const struct file_tensor *from;
    } all[] = {{&out->norm, t->attention_norm}, {&out->q_norm, t->mla.q_norm}, {&out->latent_norm, t->mla.latent_norm}};
    size_t n = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) n += elements_of(all[i].from);
    float *at = out->vectors = cm_alloc(ctx, n, sizeof *at, "norms");
    if (!at) return CALMOE_NO_MEMORY;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const size_t n_elements = elements_of(all[i].from);
        if (n_elements == 0) continue;
        const struct weight_type_row *type = &cm_weight_types[all[i].from->type];
        type->dequantize(all[i].from->bytes, at, n_elements / (size_t)type->n_elements);
        *all[i].to = at;
        at += n_elements;
    }
    return CALMOE_OK;
}

/* Elements of `size` bytes: (n_rows, n_columns) at from to (n_columns, n_rows) at to. */
static void turn(const uint8_t *from, size_t size, size_t n_rows, size_t n_columns, uint8_t *to)
{
    for (size_t row = 0; row < n_rows; row++)
        for (size_t column = 0; column < n_columns; column++)
            memcpy(to + (column * n_rows + row) * size, from + (row * n_columns + column) * size, size);
}

int cm_mla_heads_on_nodes(const struct plan *plan, const struct attention_spec *spec, int32_t *out)
{
    const int of_group = spec->n_heads / spec->n_kv_heads, first = cm_own_heads(plan, spec->n_kv_heads, out);
    for (int node = 0; node < plan->n_nodes; node++) out[node] *= of_group;
    return first * of_group;
}

struct heads { /* of this rank */
    int first, n;
};

static struct heads own_heads(const struct plan *plan, const struct attention_spec *spec)
{
    const int    of_group = spec->n_heads / spec->n_kv_heads;
    struct heads own;
    own.n = cm_own_part(plan, spec->n_kv_heads, 1, &own.first) * of_group;
    own.first *= of_group;
    return own;
}

/* Key matrices of some heads of a joint tensor: of each head its first plain_size rows, turned. Halves stay what they
 * are, all other types become float32, so that no weight changes. The list keeps the memory until it has run. */
static calmoe_status turn_keys(const struct mixer_place *place, struct pack_list *list, const struct mla_spec *spec,
                               const struct weight_source *joint, struct heads heads, struct weight_source *out)
{
    const bool   is_half = joint->type == WEIGHT_F16 || joint->type == WEIGHT_BF16;
    const size_t n_plain = (size_t)spec->plain_size, n_latent = (size_t)joint->n_columns;
    const size_t size = is_half ? sizeof(uint16_t) : sizeof(float), of_head = n_plain * n_latent;
    const struct weight_type_row *type = &cm_weight_types[joint->type];
    uint8_t *keys = cm_alloc(place->machine->ctx, (size_t)heads.n * of_head, size, "key matrices");
    float   *rows = cm_alloc(place->machine->ctx, of_head, sizeof *rows, "key matrices");
    for (int head = 0; keys && rows && head < heads.n; head++) {
        const struct weight_source of =
            cm_source_rows(joint, (heads.first + head) * (spec->plain_size + spec->value_size), spec->plain_size);
        if (!is_half) type->dequantize(of.rows, rows, of_head / (size_t)type->n_elements);
        turn(is_half ? of.rows : (const uint8_t *)rows, size, n_plain, n_latent, keys + (size_t)head * of_head * size);
    }
    const bool is_done = keys && rows;
    cm_free(rows);
    if (!keys) return CALMOE_NO_MEMORY;
    CM_TRY(cm_pack_list_keep(place->machine->ctx, list, keys));
    *out = (struct weight_source){.type = is_half ? joint->type : WEIGHT_F32, .rows = keys,
                                  .n_rows = heads.n * joint->n_columns, .n_columns = spec->plain_size};
    return is_done ? CALMOE_OK : CALMOE_NO_MEMORY;
}

static calmoe_status pack_heads(const struct mixer_place *place, struct pack_list *list, const struct layer_spec *layer,
                                const struct mla_tensors *t, struct mla_weights *out)
{
    const struct mla_spec *spec = &layer->mla;
    const int latent = layer->attention.value_size, n_heads = layer->attention.n_heads;
    const int of_joint = spec->plain_size + spec->value_size; /* rows of a head */
    const struct heads own = own_heads(place->machine->plan, &layer->attention);
    struct weight_source keys = t->k;
    int32_t heads_on[CM_MAX_NODES];
    int     node = 0;
    out->heads = cm_alloc(place->machine->ctx, (size_t)n_heads, sizeof *out->heads, "heads");
    if (!out->heads) return CALMOE_NO_MEMORY;
    if (spec->is_joint) CM_TRY(turn_keys(place, list, spec, &t->joint, own, &keys));
    cm_mla_heads_on_nodes(place->machine->plan, &layer->attention, heads_on);
    for (int i = own.first; i < own.first + own.n; i++) {
        while (heads_on[node] == 0) node++;
        heads_on[node]--;
        struct mla_head *head = &out->heads[i];
        struct weight_source key = cm_source_rows(&keys, (spec->is_joint ? i - own.first : i) * latent, latent);
        if (spec->is_joint) key.turned_from = cm_source_rows(&t->joint, i * of_joint, 0).rows;
        const struct weight_source value =
            spec->is_joint ? cm_source_rows(&t->joint, i * of_joint + spec->plain_size, spec->value_size)
                           : cm_source_rows(&t->v, i * spec->value_size, spec->value_size);
        head->node = node;
        CM_TRY(cm_pack_list_add(place->machine->ctx, list, &key, node, &head->key));
        CM_TRY(cm_pack_list_add(place->machine->ctx, list, &value, node, &head->value));
        out->head_bytes += cm_matrix_bytes(&head->key) + cm_matrix_bytes(&head->value);
    }
    if (own.n == 0) return CALMOE_OK;
    out->plain_kinds = cm_matrix_kind(&out->heads[own.first].key);
    out->attended_kinds = cm_matrix_kind(&out->heads[own.first].value);
    return CALMOE_OK;
}

static calmoe_status pack(const struct mixer_place *place, struct pack_list *list, const struct layer_spec *spec,
                          const struct layer_tensors *t, struct mla_weights *out)
{
    struct calmoe_context *ctx = place->machine->ctx;
    const struct plan     *plan = place->machine->plan;
    const struct heads     own = own_heads(plan, &spec->attention);
    const int              of_head = spec->mla.plain_size + spec->mla.rope_size;
    CM_TRY(read_vectors(ctx, t, out));
    if (t->mla.q_a.rows) CM_TRY(cm_placed_range_open(ctx, list, &t->mla.q_a, 0, t->mla.q_a.n_rows, plan, &out->q_a));
    CM_TRY(cm_placed_range_open(ctx, list, &t->q, own.first * of_head, own.n * of_head, plan, &out->q));
    CM_TRY(cm_placed_range_open(ctx, list, &t->mla.latent, 0, t->mla.latent.n_rows, plan, &out->latent));
    CM_TRY(cm_placed_shares_open(ctx, list, &t->o, plan, &out->o));
    CM_TRY(pack_heads(place, list, spec, &t->mla, out));
    out->q_kinds = cm_placed_kind(&out->q);
    out->input_kinds = cm_placed_kind(&out->latent) | (spec->mla.q_rank > 0 ? cm_placed_kind(&out->q_a) : out->q_kinds);
    out->o_kinds = cm_placed_kind(&out->o);
    return CALMOE_OK;
}

calmoe_status cm_mla_pack(const struct mixer_place *place, struct pack_list *list, int layer,
                          const struct layer_tensors *tensors, void **weights)
{
    struct mla_weights *out = *weights = cm_alloc(place->machine->ctx, 1, sizeof *out, "a layer");
    return out ? pack(place, list, &place->spec->layers[layer], tensors, out) : CALMOE_NO_MEMORY;
}

void cm_mla_drop(void **weights)
{
    struct mla_weights *w = *weights;
    if (!w) return;
    struct placed_matrix *all[] = {&w->q_a, &w->q, &w->latent, &w->o};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) cm_placed_close(all[i]);
    cm_free(w->heads);
    cm_free(w->vectors);
    cm_free(w);
    *weights = NULL;
}
