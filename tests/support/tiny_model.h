/* tests/support/tiny_model.h - small complete random models, made by code: any shape, any weight type for each
 * role, with a toy vocabulary. The golden models have odd widths; these can have those that blocks of 32 and
 * 256 need.
 *
 *     struct tiny_model tiny = tiny_model();
 *     tiny.types[TINY_DOWN] = WEIGHT_Q3_K;
 *     tiny_model_write(&tiny, path);        or: builder = tiny_model_build(&tiny); bend it; builder_write(); */
#ifndef TESTS_SUPPORT_TINY_MODEL_H
#define TESTS_SUPPORT_TINY_MODEL_H

#include "tests/support/gguf_builder.h"
#include "tests/support/toy_tokenizer.h"

enum tiny_part {
    TINY_EMBEDDING, TINY_OUTPUT, TINY_Q, TINY_K, TINY_V, TINY_O, TINY_ROUTER, TINY_GATE, TINY_UP, TINY_DOWN,
    TINY_SHARED_GATE, TINY_SHARED_UP, TINY_SHARED_DOWN, TINY_PART_COUNT
};

/* A chat template: ChatML. */
#define TINY_CHATML                                                                                          \
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}" \
    "{{ '<|im_start|>assistant\\n' }}"

struct tiny_model {
    const char      *architecture;      /* of the file, and the prefix of its keys; gpt-oss, gemma3, gemma4 have
                                           all that is special to them, windows of 24 positions   */
    int              n_layers;
    int              dim;
    int              n_heads, n_kv_heads, head_size;
    int              n_experts, n_used; /* n_experts 0: dense, expert_width is the only width     */
    int              expert_width;
    int              shared_width;      /* 0: no shared expert; else it has a gate of one row     */
    int              n_vocab;           /* rows of embedding and output; 0 = the toy's tokens     */
    int              context;
    bool             is_tied;           /* no output matrix                                       */
    bool             has_head_norms;    /* of q and k, one head long                              */
    bool             has_biases;        /* of q, k and v; else they are zeros where the family needs them */
    bool             has_choice_biases; /* of the experts                                         */
    int              n_dense, dense_width; /* the first layers are dense, so wide; n_experts > 0  */
    const char      *chat_template, *tool_template;     /* NULL: none                                             */
    int              eos;               /* 0 = the toy's own                                      */
    const char      *without;           /* a key to leave out ("block_count"), to be added anew   */
    enum weight_type types[TINY_PART_COUNT];
    uint64_t         seed;
};

/* qwen2moe of width 32: 2 layers, 4 experts of width 32, 2 used, one shared, context 64, all F32. */
struct tiny_model tiny_model(void);
/* The same with widths that every block divides: dim 256, 8 experts of 256, 3 used, context 256. */
struct tiny_model tiny_model_wide(void);
/* The wide one of so many layers, with several types: experts in q4_0, k and output in q8_0. */
struct tiny_model tiny_model_mixed(int n_layers);

/* general.name is "tiny". Tensors of roles whose type cannot be written by the library get random blocks with
 * scales that keep the weights as large as the others. */
struct gguf_builder *tiny_model_build(const struct tiny_model *tiny);
void                 tiny_model_write(const struct tiny_model *tiny, const char *path);
int                  tiny_model_n_vocab(const struct tiny_model *tiny);

/* The tensor of that name, to be bent; aborts where there is none. */
struct builder_tensor *tiny_tensor(struct gguf_builder *builder, const char *name);
/* Takes a tensor out of the model; aborts where there is none. */
void tiny_drop_tensor(struct gguf_builder *builder, const char *name);
/* Another of that name in its place, all zeros. */
void tiny_replace_tensor(struct gguf_builder *builder, const char *name, enum weight_type type, uint32_t n_dims,
                         const uint64_t *shape);

#endif
