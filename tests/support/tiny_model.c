/* tiny_model.c - small complete random models, made by code. */
#include "tests/support/tiny_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "kernels/half.h"
#include "kernels/quant/code_book.h"
#include "kernels/random_weights.h"

struct tiny_model tiny_model(void)
{
    return (struct tiny_model){.architecture = "qwen2moe", .n_layers = 2, .dim = 32, .n_heads = 4, .n_kv_heads = 2,
                               .head_size = 8, .n_experts = 4, .n_used = 2, .expert_width = 32, .shared_width = 32,
                               .context = 64, .has_biases = true, .seed = 1};
}

struct tiny_model tiny_model_wide(void)
{
    struct tiny_model tiny = tiny_model();
    tiny.dim = tiny.expert_width = tiny.shared_width = 256;
    tiny.head_size = 64;
    tiny.n_experts = 8;
    tiny.n_used = 3;
    tiny.context = 256;
    return tiny;
}

struct tiny_model tiny_model_mixed(int n_layers)
{
    struct tiny_model tiny = tiny_model_wide();
    tiny.n_layers = n_layers;
    for (int part = TINY_GATE; part <= TINY_DOWN; part++) tiny.types[part] = WEIGHT_Q4_0;
    tiny.types[TINY_K] = tiny.types[TINY_OUTPUT] = WEIGHT_Q8_0;
    return tiny;
}

static void *must(void *memory)
{
    if (!memory) {
        fputs("tiny_model: no memory\n", stderr);
        abort();
    }
    return memory;
}

/* ---- tensors ---- */

static uint64_t product(uint32_t n_dims, const uint64_t *shape)
{
    uint64_t n = 1;
    for (uint32_t d = 0; d < n_dims; d++) n *= shape[d];
    return n;
}

/* Where the float16 scale and minimum of a block stand; -1: none. */
static void scale_places(enum weight_type type, int *scale, int *minimum)
{
    *scale = 0;
    *minimum = -1;
    switch (type) {
    case WEIGHT_Q4_1: case WEIGHT_Q5_1: case WEIGHT_Q4_K: case WEIGHT_Q5_K: *minimum = 2; break;
    case WEIGHT_Q2_K: *scale = 80, *minimum = 82; break;
    case WEIGHT_Q3_K: *scale = 108; break;
    case WEIGHT_Q6_K: *scale = 208; break;
    case WEIGHT_MXFP4: *scale = -1; break;
    default: break;
    }
}

static float size_of_values(enum weight_type type, const uint8_t *block)
{
    const struct weight_type_row *row = &cm_weight_types[type];
    float values[256];
    double squares = 0.0;
    row->dequantize(block, values, 1);
    for (int i = 0; i < row->n_elements; i++) squares += (double)values[i] * (double)values[i];
    return (float)sqrt(squares / row->n_elements);
}

/* Random codes; then a scale under which the values are about `size`. */
static void fill_block(struct random *random, enum weight_type type, float size, uint8_t *block)
{
    const struct weight_type_row *row = &cm_weight_types[type];
    int scale, minimum;
    if (cm_book_bytes(type) > 0) { /* a scale in quarters, perhaps */
        cm_random_weights(type, 0.0f, size, cm_random_u64(random), block, 1);
        return;
    }
    scale_places(type, &scale, &minimum);
    for (int i = 0; i < row->n_bytes; i++) block[i] = (uint8_t)cm_random_u64(random);
    if (scale < 0) { /* a power of two in the first byte */
        block[0] = 128;
        block[0] = (uint8_t)(128 + lrintf(log2f(size / size_of_values(type, block))));
        return;
    }
    cm_store_u16(block + scale, cm_half_of_float(1.0f));
    if (minimum >= 0) cm_store_u16(block + minimum, cm_half_of_float(row->n_elements == 32 ? -9.0f : 1.5f));
    const float factor = size / size_of_values(type, block);
    cm_store_u16(block + scale, cm_half_of_float(factor));
    if (minimum >= 0)
        cm_store_u16(block + minimum, cm_half_of_float(factor * (row->n_elements == 32 ? -9.0f : 1.5f)));
}

static void add_blocks(struct gguf_builder *builder, const char *name, enum weight_type type, uint32_t n_dims,
                       const uint64_t *shape, uint64_t seed, float size)
{
    const struct weight_type_row *row = &cm_weight_types[type];
    const size_t n_blocks = (size_t)product(n_dims, shape) / (size_t)row->n_elements;
    const size_t n_bytes = (size_t)row->n_bytes;
    uint8_t *blocks = must(malloc(n_blocks * n_bytes));
    struct random random = cm_random(seed);
    for (size_t i = 0; i < n_blocks; i++) fill_block(&random, type, size, blocks + i * n_bytes);
    builder_add_tensor(builder, name, row->file_id, n_dims, shape, blocks, n_blocks * n_bytes);
    free(blocks);
}

/* Values of about 1 / sqrt(columns), so that what goes in comes out as large. */
static void add_matrix(struct gguf_builder *builder, const char *name, enum weight_type type, uint32_t n_dims,
                       const uint64_t *shape, uint64_t seed, float gain)
{
    const float size = gain / sqrtf((float)shape[0]);
    if (type == WEIGHT_F32) {
        builder_add_tensor_random(builder, name, n_dims, shape, seed, size);
    } else if (!cm_weight_types[type].quantize) {
        add_blocks(builder, name, type, n_dims, shape, seed, size);
    } else {
        const size_t n = (size_t)product(n_dims, shape);
        float *values = must(malloc(n * sizeof *values));
        struct random random = cm_random(seed);
        for (size_t i = 0; i < n; i++) values[i] = size * cm_random_normal(&random);
        builder_add_tensor_quantized(builder, name, type, n_dims, shape, values);
        free(values);
    }
}

static void add_vector(struct gguf_builder *builder, const char *name, int n, float center, uint64_t seed)
{
    float *values = must(malloc((size_t)n * sizeof *values));
    struct random random = cm_random(seed);
    for (int i = 0; i < n; i++) values[i] = center + 0.1f * cm_random_normal(&random);
    builder_add_tensor_f32(builder, name, 1, (uint64_t[]){(uint64_t)n}, values);
    free(values);
}

/* ---- a model ---- */

struct writer {
    const struct tiny_model *tiny;
    struct gguf_builder     *builder;
    int                      layer; /* -1: names stand as they are */
    uint64_t                 seed;
    char                     name[64];
};

static const char *full_name(struct writer *w, const char *role)
{
    if (w->layer < 0) snprintf(w->name, sizeof w->name, "%s", role);
    else snprintf(w->name, sizeof w->name, "blk.%d.%s", w->layer, role);
    w->seed++;
    return w->name;
}

static void matrix(struct writer *w, const char *role, enum tiny_part part, int n_columns, int n_rows)
{
    const uint64_t shape[] = {(uint64_t)n_columns, (uint64_t)n_rows};
    const char *name = full_name(w, role);
    add_matrix(w->builder, name, w->tiny->types[part], 2, shape, w->seed, part == TINY_ROUTER ? 2.0f : 1.0f);
}

static void stack(struct writer *w, const char *role, enum tiny_part part, int n_columns, int n_rows)
{
    const uint64_t shape[] = {(uint64_t)n_columns, (uint64_t)n_rows, (uint64_t)w->tiny->n_experts};
    const char *name = full_name(w, role);
    add_matrix(w->builder, name, w->tiny->types[part], 3, shape, w->seed, 1.5f);
}

static void vector(struct writer *w, const char *role, int n, float center)
{
    const char *name = full_name(w, role);
    add_vector(w->builder, name, n, center, w->seed);
}

static void zeros(struct writer *w, const char *role, int n)
{
    const size_t n_bytes = (size_t)n * sizeof(float);
    builder_add_tensor(w->builder, full_name(w, role), 0, 1, (uint64_t[]){(uint64_t)n}, NULL, n_bytes);
    w->seed--; /* other tensors are the same with and without it */
}

/* Gemma 2 and later, which have windows. */
static bool is_gemma(const struct tiny_model *tiny)
{
    return strncmp(tiny->architecture, "gemma", 5) == 0 && tiny->architecture[5] != '\0';
}
static bool is_gemma_4(const struct tiny_model *tiny) { return strcmp(tiny->architecture, "gemma4") == 0; }
static bool is_bloom(const struct tiny_model *tiny) { return strcmp(tiny->architecture, "bloom") == 0; }
static bool has_centred_norms(const struct tiny_model *tiny)
{
    return is_bloom(tiny) || strcmp(tiny->architecture, "phimoe") == 0;
}
static bool is_exaone(const struct tiny_model *tiny) { return strcmp(tiny->architecture, "exaone-moe") == 0; }
static bool is_gpt_oss(const struct tiny_model *tiny) { return strcmp(tiny->architecture, "gpt-oss") == 0; }

/* Biases for each expert. */
static void expert_biases(struct writer *w, const char *role, int n)
{
    const uint64_t shape[] = {(uint64_t)n, (uint64_t)w->tiny->n_experts};
    const char *name = full_name(w, role);
    builder_add_tensor_random(w->builder, name, 2, shape, w->seed, 0.2f);
}

/* What gpt-oss has in a layer besides, but for a norm's name. */
static void write_gpt_oss(struct writer *w)
{
    const struct tiny_model *t = w->tiny;
    vector(w, "attn_sinks.weight", t->n_heads, 0.5f);
    vector(w, "attn_output.bias", t->dim, 0.0f);
    vector(w, "ffn_gate_inp.bias", t->n_experts, 0.0f);
    expert_biases(w, "ffn_gate_exps.bias", t->expert_width);
    expert_biases(w, "ffn_up_exps.bias", t->expert_width);
    expert_biases(w, "ffn_down_exps.bias", t->dim);
}

/* The dense part that Gemma 4 has beside routed experts, and the norms that keep them apart. */
static void write_dense_part(struct writer *w)
{
    const struct tiny_model *t = w->tiny;
    vector(w, "ffn_gate_inp.scale", t->dim, 1.0f);
    vector(w, "pre_ffw_norm_2.weight", t->dim, 1.0f);
    vector(w, "post_ffw_norm_1.weight", t->dim, 1.0f);
    vector(w, "post_ffw_norm_2.weight", t->dim, 1.0f);
    vector(w, "ffn_down_exps.scale", t->n_experts, 1.0f);
    matrix(w, "ffn_gate.weight", TINY_SHARED_GATE, t->dim, t->expert_width);
    matrix(w, "ffn_up.weight", TINY_SHARED_UP, t->dim, t->expert_width);
    matrix(w, "ffn_down.weight", TINY_SHARED_DOWN, t->expert_width, t->dim);
}

static void write_layer(struct writer *w)
{
    const struct tiny_model *t = w->tiny;
    const int q = t->n_heads * t->head_size, kv = t->n_kv_heads * t->head_size;
    if (is_gpt_oss(t)) write_gpt_oss(w);
    if (has_centred_norms(t)) {
        zeros(w, "attn_norm.bias", t->dim);
        zeros(w, "attn_output.bias", t->dim);
        zeros(w, "ffn_norm.bias", t->dim);
    }
    if (is_gemma(t)) {
        vector(w, "post_attention_norm.weight", t->dim, 1.0f);
        vector(w, "post_ffw_norm.weight", t->dim, 1.0f);
    }
    vector(w, "attn_norm.weight", t->dim, 1.0f);
    matrix(w, "attn_q.weight", TINY_Q, t->dim, q);
    matrix(w, "attn_k.weight", TINY_K, t->dim, kv);
    matrix(w, "attn_v.weight", TINY_V, t->dim, kv);
    matrix(w, "attn_output.weight", TINY_O, q, t->dim);
    if (t->has_biases) {
        vector(w, "attn_q.bias", q, 0.0f);
        vector(w, "attn_k.bias", kv, 0.0f);
        vector(w, "attn_v.bias", kv, 0.0f);
    } else if (strncmp(t->architecture, "qwen2", 5) == 0 || has_centred_norms(t)) {
        zeros(w, "attn_q.bias", q);
        zeros(w, "attn_k.bias", kv);
        zeros(w, "attn_v.bias", kv);
    }
    if (t->has_head_norms) {
        vector(w, "attn_q_norm.weight", t->head_size, 1.0f);
        vector(w, "attn_k_norm.weight", t->head_size, 1.0f);
    }
    vector(w, is_gpt_oss(t) ? "post_attention_norm.weight" : "ffn_norm.weight", t->dim, 1.0f);
    if (t->n_experts == 0 || w->layer < t->n_dense) {
        const int width = t->n_experts == 0 ? t->expert_width : t->dense_width;
        if (!is_bloom(t)) matrix(w, "ffn_gate.weight", TINY_GATE, t->dim, width);
        matrix(w, "ffn_up.weight", TINY_UP, t->dim, width);
        matrix(w, "ffn_down.weight", TINY_DOWN, width, t->dim);
        if (!is_bloom(t)) return;
        zeros(w, "ffn_up.bias", width);
        zeros(w, "ffn_down.bias", t->dim);
        return;
    }
    if (is_gemma_4(t)) write_dense_part(w);
    matrix(w, "ffn_gate_inp.weight", TINY_ROUTER, t->dim, t->n_experts);
    if (t->has_choice_biases) vector(w, "exp_probs_b.bias", t->n_experts, 0.0f);
    stack(w, "ffn_gate_exps.weight", TINY_GATE, t->dim, t->expert_width);
    stack(w, "ffn_up_exps.weight", TINY_UP, t->dim, t->expert_width);
    stack(w, "ffn_down_exps.weight", TINY_DOWN, t->expert_width, t->dim);
    if (t->shared_width == 0) return;
    vector(w, "ffn_gate_inp_shexp.weight", t->dim, 0.0f);
    matrix(w, "ffn_gate_shexp.weight", TINY_SHARED_GATE, t->dim, t->shared_width);
    matrix(w, "ffn_up_shexp.weight", TINY_SHARED_UP, t->dim, t->shared_width);
    matrix(w, "ffn_down_shexp.weight", TINY_SHARED_DOWN, t->shared_width, t->dim);
}

static void add_key(struct gguf_builder *builder, const struct tiny_model *tiny, const char *name, int value)
{
    char key[128];
    if (tiny->without && strcmp(tiny->without, name) == 0) return;
    snprintf(key, sizeof key, "%s.%s", tiny->architecture, name);
    builder_add_u32(builder, key, (uint32_t)value);
}

static void add_real(struct gguf_builder *builder, const struct tiny_model *tiny, const char *name, float value)
{
    char key[128];
    if (tiny->without && strcmp(tiny->without, name) == 0) return;
    snprintf(key, sizeof key, "%s.%s", tiny->architecture, name);
    builder_add_f32(builder, key, value);
}

static void write_metadata(struct gguf_builder *builder, const struct tiny_model *tiny)
{
    if (!tiny->without || strcmp(tiny->without, "general.architecture") != 0)
        builder_add_string(builder, "general.architecture", tiny->architecture);
    builder_add_string(builder, "general.name", "tiny");
    add_key(builder, tiny, "block_count", tiny->n_layers);
    add_key(builder, tiny, "context_length", tiny->context);
    add_key(builder, tiny, "embedding_length", tiny->dim);
    add_key(builder, tiny, "attention.head_count", tiny->n_heads);
    add_key(builder, tiny, "attention.head_count_kv", tiny->n_kv_heads);
    add_key(builder, tiny, "attention.key_length", tiny->head_size);
    add_key(builder, tiny, "attention.value_length", tiny->head_size);
    if (tiny->n_experts > 0) {
        add_key(builder, tiny, "expert_count", tiny->n_experts);
        add_key(builder, tiny, "expert_used_count", tiny->n_used);
    }
    if (is_gpt_oss(tiny) || is_gemma(tiny) || is_exaone(tiny)) add_key(builder, tiny, "attention.sliding_window", 24);
    if (is_exaone(tiny)) add_key(builder, tiny, "attention.sliding_window_pattern", 4);
    if (is_gemma_4(tiny)) {
        add_key(builder, tiny, "attention.sliding_window_pattern", 6);
        add_key(builder, tiny, "attention.key_length_swa", tiny->head_size);
        add_key(builder, tiny, "attention.value_length_swa", tiny->head_size);
        add_real(builder, tiny, "final_logit_softcapping", 30.0f);
    }
    if (is_gpt_oss(tiny)) {
        add_key(builder, tiny, "rope.scaling.original_context_length", tiny->context / 2);
        add_real(builder, tiny, "rope.scaling.factor", 2.0f);
        builder_add_string(builder, "gpt-oss.rope.scaling.type", "yarn");
    }
    const char *eps = is_bloom(tiny) ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon";
    add_real(builder, tiny, eps, 1e-6f);
    add_real(builder, tiny, "rope.freq_base", 10000.0f);
}

static void make_toy(const struct tiny_model *tiny, struct toy_tokenizer *toy)
{
    toy_bpe(toy, "qwen2");
    toy->chat_template = tiny->chat_template;
    toy->tool_template = tiny->tool_template;
    if (tiny->eos > 0) toy->eos = tiny->eos;
}

int tiny_model_n_vocab(const struct tiny_model *tiny)
{
    struct toy_tokenizer *toy = must(malloc(sizeof *toy));
    make_toy(tiny, toy);
    const int n = tiny->n_vocab > 0 ? tiny->n_vocab : toy->n_tokens;
    free(toy);
    return n;
}

struct gguf_builder *tiny_model_build(const struct tiny_model *tiny)
{
    struct writer w = {.tiny = tiny, .builder = builder_open(), .layer = -1, .seed = 1000 * tiny->seed};
    struct toy_tokenizer *toy = must(malloc(sizeof *toy));
    const int n_vocab = tiny_model_n_vocab(tiny);
    write_metadata(w.builder, tiny);
    make_toy(tiny, toy);
    toy_write(toy, w.builder);
    free(toy);
    matrix(&w, "token_embd.weight", TINY_EMBEDDING, tiny->dim, n_vocab);
    vector(&w, "output_norm.weight", tiny->dim, 1.0f);
    if (!tiny->is_tied) matrix(&w, "output.weight", TINY_OUTPUT, tiny->dim, n_vocab);
    if (is_gemma_4(tiny)) vector(&w, "rope_freqs.weight", tiny->head_size / 2, 1.0f);
    if (has_centred_norms(tiny)) zeros(&w, "output_norm.bias", tiny->dim);
    if (has_centred_norms(tiny) && !is_bloom(tiny)) zeros(&w, "output.bias", n_vocab);
    if (is_bloom(tiny)) vector(&w, "token_embd_norm.weight", tiny->dim, 1.0f);
    if (is_bloom(tiny)) zeros(&w, "token_embd_norm.bias", tiny->dim);
    for (w.layer = 0; w.layer < tiny->n_layers; w.layer++) write_layer(&w);
    return w.builder;
}

void tiny_model_write(const struct tiny_model *tiny, const char *path)
{
    struct gguf_builder *builder = tiny_model_build(tiny);
    builder_write(builder, path);
    builder_close(&builder);
}

/* ---- to bend it ---- */

struct builder_tensor *tiny_tensor(struct gguf_builder *builder, const char *name)
{
    for (size_t i = 0; i < builder->n_tensors; i++)
        if (builder->tensors[i].n_name_bytes == strlen(name) &&
            memcmp(builder->tensors[i].name, name, strlen(name)) == 0)
            return &builder->tensors[i];
    fprintf(stderr, "tiny_model: no tensor '%s'\n", name);
    abort();
}

/* It becomes a tensor of an encoder of images, which is not run, so that the others' data keeps its place. */
void tiny_drop_tensor(struct gguf_builder *builder, const char *name)
{
    const int i = (int)(tiny_tensor(builder, name) - builder->tensors);
    char dropped[32];
    const int n = snprintf(dropped, sizeof dropped, "v.dropped.%d", i);
    builder_rename_tensor(builder, i, dropped, (size_t)n);
}

void tiny_replace_tensor(struct gguf_builder *builder, const char *name, enum weight_type type, uint32_t n_dims,
                         const uint64_t *shape)
{
    const struct weight_type_row *row = &cm_weight_types[type];
    const size_t n_blocks = (size_t)product(n_dims, shape) / (size_t)row->n_elements;
    tiny_drop_tensor(builder, name);
    builder_add_tensor(builder, name, row->file_id, n_dims, shape, NULL, n_blocks * (size_t)row->n_bytes);
}
