/* runtime/engine/engine_memory.c - what an engine and its sessions will take of memory, asked for before they take it:
 * a system that has none left kills the program, which then cannot say why.
 *
 * Memory that is reserved at opening is checked where it is taken (base/memory.h). Keys and values are reserved as
 * addresses only, and get pages when they are written; so sessions ask for some at a time, before a step. */
#include "base/limits.h"
#include "runtime/engine/handles.h"
#include "runtime/mixers/prefix.h"

enum { PAGE = 4096, STRETCH_BYTES = 16 << 20 };
static const size_t SNAPSHOT_BYTES = (size_t)1 << 28; /* of a session's recurrent state */

struct state_place cm_engine_state_place(const calmoe_engine *engine, int n_positions)
{
    return (struct state_place){.type = engine->options.kv_float32 ? KV_F32 : KV_F16, .n_positions = n_positions,
                                .max_rows = engine->options.max_rows, .snapshot_bytes = SNAPSHOT_BYTES};
}

/* Heads that this process keeps of a layer: of several ranks, its own, but latents all. */
static int kept_here(const calmoe_engine *engine, const struct attention_spec *attention)
{
    int first;
    if (attention->has_latents) return cm_kept_heads(attention);
    return cm_own_part(&engine->plan, cm_kept_heads(attention), 1, &first);
}

static uint64_t kv_bytes(const calmoe_engine *engine, const struct model_spec *spec)
{
    const uint64_t           element = engine->options.kv_float32 ? sizeof(float) : sizeof(uint16_t);
    uint64_t                 n = 0;
    for (int i = 0; i < spec->n_layers; i++) {
        const struct attention_spec *attention = &spec->layers[i].attention;
        n += (uint64_t)kept_here(engine, attention) * (uint64_t)cm_kept_elements(attention) * element;
    }
    return n;
}

/* That the first position takes in a layer: a page of each head's keys, and one of its values. */
static uint64_t first_bytes_of(const struct attention_spec *attention, int n_heads)
{
    return (attention->has_latents ? 1 : 2) * (uint64_t)n_heads * PAGE;
}

static uint64_t kv_first_bytes(const calmoe_engine *engine)
{
    const struct model_spec *spec = &engine->model->spec;
    uint64_t                 n = 0;
    for (int i = 0; i < spec->n_layers; i++)
        n += first_bytes_of(&spec->layers[i].attention, kept_here(engine, &spec->layers[i].attention));
    return n;
}

void cm_engine_count_kv(calmoe_engine *engine)
{
    engine->kv_bytes = kv_bytes(engine, &engine->model->spec);
    for (int i = 0; i < N_DRAFTERS; i++)
        if (engine->drafters[i]) engine->kv_bytes += kv_bytes(engine, cm_drafter_spec(engine->drafters[i]));
    engine->kv_first_bytes = kv_first_bytes(engine);
}

/* Positions that n_bytes are enough for; 1 at least. */
static int positions_of(const calmoe_engine *engine, uint64_t n_bytes)
{
    const uint64_t each = engine->kv_bytes, n = each > 0 ? n_bytes / each : 1;
    return n > 1 ? (int)n : 1;
}

static uint64_t scratch_bytes(const struct model_spec *spec, int max_rows)
{
    const struct layer_maxima *most = &spec->most;
    const uint64_t             rows = (uint64_t)max_rows, dim = (uint64_t)spec->dim;
    /* The stream and what is added to it; each expert's output. */
    uint64_t floats = rows * (2 + (uint64_t)most->n_used) * dim;
    floats += rows * (uint64_t)(most->q_columns + most->k_columns + most->v_columns + most->gate_columns);
    floats += rows * (uint64_t)most->recurrent_floats;
    floats += rows * (uint64_t)(2 * most->mla_inputs + most->mla_values);
    return floats * sizeof(float);
}

uint64_t cm_bytes_behind(const struct model_spec *spec, int max_rows)
{
    uint64_t n = scratch_bytes(spec, max_rows);
    for (int i = 0; i < spec->n_layers; i++)
        n += first_bytes_of(&spec->layers[i].attention, cm_kept_heads(&spec->layers[i].attention));
    return n;
}

uint64_t cm_engine_bytes_behind_weights(const calmoe_engine *engine)
{
    return scratch_bytes(&engine->model->spec, engine->options.max_rows) + kv_first_bytes(engine);
}

calmoe_status cm_session_need_memory(calmoe_session *session, int n_tokens)
{
    const calmoe_engine *engine = session->engine;
    const int            end = cm_kv_filled(&session->state, session->n_positions + n_tokens);
    const uint64_t       each = engine->kv_bytes;
    if (end <= session->n_paid) return CALMOE_OK;
    /* Some at a time, so that few steps ask; where so much is not there, what the step needs. A page is the least
     * that each head's keys, and its values, take. */
    const int in_page = positions_of(engine, engine->kv_first_bytes), needed = end - session->n_paid;
    int       stretch = positions_of(engine, STRETCH_BYTES), least = needed > in_page ? needed : in_page;
    const int left = cm_kv_position(&session->state, session->context) - session->n_paid;
    if (least > left) least = left;
    if (stretch > left) stretch = left;
    if (stretch < least) stretch = least;
    struct memory_room room;
    cm_limits_room(&room);
    if (each * (uint64_t)stretch > room.room) stretch = least;
    CM_TRY(cm_room_check(engine->ctx, &room, each * (uint64_t)stretch, "keys and values of further tokens"));
    session->n_paid += stretch;
    return CALMOE_OK;
}

calmoe_status cm_session_may_write(calmoe_session *session, int n_tokens)
{
    const struct waiting *waiting = session->sequence.waiting;
    const int n = session->n_positions, first = waiting && waiting->n > 0 ? waiting->rows[0].position : n;
    calmoe_status status = cm_session_need_memory(session, n_tokens);
    if (status == CALMOE_OK)
        status = cm_sequence_state_own(&session->state, first < n ? first : n, n + n_tokens, n);
    if (status == CALMOE_OK && session->adapters.prefix && n == 0)
        cm_prefix_write(cm_vector_ops(session->engine->machine.isa), session->adapters.prefix, &session->state);
    return status;
}

void cm_session_remark_on_memory(const calmoe_session *session)
{
    const uint64_t     whole = session->engine->kv_bytes * (uint64_t)session->context;
    struct memory_room room;
    char               wanted[32], found[32];
    cm_limits_room(&room);
    if (room.room == UINT64_MAX || whole <= room.room) return;
    cm_log(session->engine->ctx,
           "a context of %d tokens comes to take %s of keys and values when it is full; %s of memory can be had now "
           "(%s)", session->context, cm_bytes_text(whole, wanted), cm_bytes_text(room.room, found), room.name);
}
