/* test_nan_weights.c - a weight that is NaN never gives other numbers: each position's logits are those of the model
 * without it, where it was not used, or some of them are NaN, which the library tells (CALMOE_NOT_FINITE). What must
 * not happen is that a NaN is lost on the way, in a maximum, a clamp, a code of int8, a choice of experts, and numbers
 * come out that are no model's. So in a tensor of each role in each golden model, as it is and (but for those that
 * have a twin) quantized, one weight is NaN at a time. Levels of instructions agree on which logits are numbers, and
 * on these numbers' bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <calmoe/quantize.h>

#include "runtime/load/model_file.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/goldens.h"
#include "tests/support/running.h"
#include "tests/support/thin.h"

enum { N_TOKENS = 12, CHUNK = 4, MAX_PATH = 600 };

static const int32_t tokens[N_TOKENS] = {5, 17, 3, 40, 8, 21, 33, 2, 11, 29, 7, 13};

struct subject {
    char     path[MAX_PATH], bent[MAX_PATH]; /* the good file, and where the one with a NaN is written */
    uint8_t *bytes;                          /* (n_bytes) of the good file                             */
    size_t   n_bytes;
    int      n_vocab;
    float   *clean;                          /* (N_TOKENS, n_vocab) of the good file                   */
    float   *first, *found;                  /* likewise, of the bent file by the first level and by another */
    int      n_tensors, n_told;              /* tensors with a NaN in them; those of which a logit tells     */
};

static void read_bytes(const char *path, struct subject *s)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    s->n_bytes = (size_t)ftell(file);
    rewind(file);
    s->bytes = malloc(s->n_bytes);
    assert_non_null(s->bytes);
    assert_int_equal(fread(s->bytes, 1, s->n_bytes, file), s->n_bytes);
    fclose(file);
}

static bool are_finite(const float *x, int n)
{
    for (int i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

/* A step is told as NOT_FINITE just where logits of it are. */
static void read_all(struct running *r, float *logits)
{
    for (int done = 0; done < N_TOKENS; done += CHUNK) {
        const calmoe_chunk  chunk = {r->session, tokens + done, CHUNK, CALMOE_LOGITS_ALL};
        const calmoe_status told = calmoe_engine_step(r->engine, &chunk, 1);
        bool                is_finite = true;
        for (int row = 0; row < CHUNK; row++) {
            float *to = logits + (size_t)(done + row) * (size_t)r->n_vocab;
            memcpy(to, calmoe_session_logits(r->session, row), (size_t)r->n_vocab * sizeof *to);
            is_finite &= are_finite(to, r->n_vocab);
        }
        assert_int_equal(told, is_finite ? CALMOE_OK : CALMOE_NOT_FINITE);
    }
}

/* The logits of all positions by so many levels, the i-th by level isas[i]; false where the file is refused. */
static bool read_logits(const char *path, const char *const *isas, int n_isas, int n_vocab, float *const *logits)
{
    struct running r = {.n_vocab = n_vocab};
    running_must(NULL, calmoe_context_open(NULL, &r.context));
    calmoe_status status = calmoe_model_open(r.context, path, NULL, &r.model);
    for (int i = 0; i < n_isas && status == CALMOE_OK; i++) {
        const calmoe_engine_options options = running_options(1, isas[i]);
        status = calmoe_engine_open(r.model, &options, &r.engine);
        if (status != CALMOE_OK) break;
        running_must(r.context, calmoe_session_open(r.engine, NULL, &r.session));
        read_all(&r, logits[i]);
        calmoe_session_close(&r.session);
        calmoe_engine_close(&r.engine);
    }
    if (status != CALMOE_BAD_FILE) running_must(r.context, status);
    running_close(&r);
    return status == CALMOE_OK;
}

/* Writes a NaN into the middle of the tensor, of the embedding into the row of a token that is read. False where the
 * type's bytes are not known here. */
static bool put_nan(const struct file_tensor *tensor, uint8_t *bytes)
{
    static const uint8_t nan[4] = {0x00, 0x00, 0xc0, 0x7f}, nan_half[2] = {0x00, 0x7e};
    const bool     is_float = tensor->type == WEIGHT_F32;
    const uint64_t block_bytes = is_float ? 4 : 34, n_blocks = tensor->n_bytes / block_bytes; /* of q8_0: scale first */
    uint64_t       block = n_blocks / 2;
    if (!tensor->is_weight || (!is_float && tensor->type != WEIGHT_Q8_0)) return false;
    if (strcmp(tensor->name, "token_embd.weight") == 0)
        block = n_blocks / tensor->shape[1] * (uint64_t)tokens[N_TOKENS / 2];
    memcpy(bytes + block * block_bytes, is_float ? nan : nan_half, is_float ? sizeof nan : sizeof nan_half);
    return true;
}

static void write_bytes(const char *path, const uint8_t *bytes, size_t n_bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n_bytes, file), n_bytes);
    assert_int_equal(fclose(file), 0);
}

/* Equal bits, or both no numbers: which NaN it is, is the machine's affair. */
static bool are_same(const float *a, const float *b, int n)
{
    for (int i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0 && !(isnan(a[i]) && isnan(b[i]))) return false;
    return true;
}

static void check_rows(struct subject *s, const char *tensor)
{
    bool is_told = false;
    for (int row = 0; row < N_TOKENS; row++) {
        const size_t at = (size_t)row * (size_t)s->n_vocab;
        const bool   is_finite = are_finite(s->first + at, s->n_vocab);
        is_told |= !is_finite;
        if (is_finite && !are_same(s->first + at, s->clean + at, s->n_vocab))
            fail_msg("%s: NaN in %s gives other numbers at position %d (%g instead of %g …)", s->path, tensor, row,
                     (double)s->first[at], (double)s->clean[at]);
    }
    s->n_tensors++;
    s->n_told += is_told;
}

static void check_tensor(struct subject *s, const struct file_tensor *tensor, size_t offset)
{
    uint8_t *bytes = malloc(s->n_bytes);
    assert_non_null(bytes);
    memcpy(bytes, s->bytes, s->n_bytes);
    const bool is_bent = put_nan(tensor, bytes + offset);
    if (is_bent) write_bytes(s->bent, bytes, s->n_bytes);
    free(bytes);
    if (!is_bent) return;
    int n_isas = 0;
    while (running_isa(n_isas)) n_isas++;
    /* the first level, which is plain C, and one of the others by turns */
    const char *const isas[] = {running_isa(0), n_isas > 1 ? running_isa(1 + s->n_tensors % (n_isas - 1)) : NULL};
    if (!read_logits(s->bent, isas, n_isas > 1 ? 2 : 1, s->n_vocab, (float *const[]){s->first, s->found})) return;
    if (n_isas > 1 && !are_same(s->first, s->found, N_TOKENS * s->n_vocab))
        fail_msg("%s: NaN in %s gives other logits by %s than by %s", s->path, tensor->name, isas[1], isas[0]);
    check_rows(s, tensor->name);
}

static const char *role_of(const struct file_tensor *tensor)
{
    return strncmp(tensor->name, "blk.", 4) == 0 ? strchr(tensor->name + 4, '.') : tensor->name;
}

/* Layers of a kind are alike: the first tensor of a role stands for all. */
static bool is_first_of_role(const struct model_file *file, uint64_t i)
{
    uint64_t first = 0;
    while (strcmp(role_of(&file->tensors[first]), role_of(&file->tensors[i])) != 0) first++;
    return first == i;
}

static void check_file(const char *path)
{
    struct calmoe_context context = {.log = NULL};
    struct model_file *file = NULL;
    struct subject     s = {0};
    snprintf(s.path, sizeof s.path, "%s", path);
    snprintf(s.bent, sizeof s.bent, "%s", temp_file(folder, "bent.gguf"));
    read_bytes(path, &s);
    struct running r = running_open(path, NULL, NULL);
    s.n_vocab = r.n_vocab;
    running_close(&r);
    float **const arrays[] = {&s.clean, &s.first, &s.found};
    for (int i = 0; i < 3; i++) assert_non_null(*arrays[i] = calloc(N_TOKENS, (size_t)s.n_vocab * sizeof(float)));
    const char *const isa = running_isa(0);
    assert_true(read_logits(path, &isa, 1, s.n_vocab, &s.clean));
    assert_true(are_finite(s.clean, N_TOKENS * s.n_vocab));
    assert_int_equal(cm_model_file_open(&context, path, &file), CALMOE_OK);
    for (uint64_t i = 0; i < file->n_tensors; i++)
        if (is_first_of_role(file, i))
            check_tensor(&s, &file->tensors[i], (size_t)(file->tensors[i].bytes - file->maps[0].bytes));
    cm_model_file_close(&file);
    for (int i = 0; i < 3; i++) free(*arrays[i]);
    free(s.bytes);
    printf("%s: %d tensors, %d told\n", path, s.n_tensors, s.n_told);
    assert_true(s.n_told * 2 > s.n_tensors); /* experts that no token takes tell nothing; most others do */
}

static void quantize(const char *in, const char *out)
{
    calmoe_context *context = NULL;
    running_must(NULL, calmoe_context_open(NULL, &context));
    running_must(context, calmoe_quantize(context, in, out, "q8_0", NULL, NULL));
    calmoe_context_close(&context);
}

static void each_tensor_of_each_golden(void **state)
{
    const struct goldens models = goldens();
    char path[MAX_PATH];
    (void)state;
    for (int i = 0; i < models.n; i++) {
        if (golden_is_left_out(models.names[i])) continue;
        check_file(golden_path(path, models.names[i]));
        if (golden_has_twin(models.names[i]) || way_is_left_out(i, 3)) continue;
        char quantized[MAX_PATH];
        snprintf(quantized, sizeof quantized, "%s", temp_file(folder, "quantized.gguf"));
        quantize(path, quantized);
        check_file(quantized);
    }
}

/* What the sentence says of a NaN in one tensor of the golden qwen3moe, whose token 7 is the second of four. */
static void check_sentence(const char *tensor, bool has_policy, const char *wanted)
{
    static const char      path[] = CALMOE_SOURCE_DIR "/tests/golden/qwen3moe.gguf";
    static const int32_t   prompt[] = {3, 7, 5, 9};
    struct calmoe_context  context = {.log = NULL};
    struct model_file     *file = NULL;
    struct subject         s = {0};
    calmoe_session_options session = {0};
    const int              last = 2; /* by the policy, tokens leave before it */
    snprintf(s.bent, sizeof s.bent, "%s", temp_file(folder, "bent.gguf"));
    read_bytes(path, &s);
    assert_int_equal(cm_model_file_open(&context, path, &file), CALMOE_OK);
    const struct file_tensor *found = cm_file_tensor(file, tensor);
    assert_non_null(found);
    uint8_t *at = s.bytes + (found->bytes - file->maps[0].bytes);
    if (strcmp(tensor, "token_embd.weight") == 0) at += 7 * found->shape[0] * sizeof(float);
    memcpy(at, (uint8_t[]){0x00, 0x00, 0xc0, 0x7f}, 4);
    write_bytes(s.bent, s.bytes, s.n_bytes);
    cm_model_file_close(&file);
    free(s.bytes);

    calmoe_session_options_init(&session);
    struct running r = running_open(s.bent, NULL, NULL);
    calmoe_policy *policy = running_exits(&r, has_policy ? "always" : NULL, 1.0f, &last, 1, NULL, 0);
    session.policy = policy;
    calmoe_session_close(&r.session);
    running_must(r.context, calmoe_session_open(r.engine, &session, &r.session));
    if (has_policy) calmoe_session_begin_answer(r.session);
    running_must(r.context, calmoe_session_feed_tokens(r.session, prompt, 4));
    int32_t token;
    assert_int_equal(calmoe_session_next(r.session, &token), CALMOE_NOT_FINITE);
    assert_non_null(strstr(calmoe_context_message(r.context), "logits after position 3 are NaN or infinite; it "));
    if (!strstr(calmoe_context_message(r.context), wanted))
        fail_msg("'%s' is not in '%s'", wanted, calmoe_context_message(r.context));
    if (strcmp(tensor, "token_embd.weight") == 0) { /* before that token, and without it, all are numbers */
        running_must(r.context, calmoe_session_rewind(r.session, 1));
        running_must(r.context, calmoe_session_feed_tokens(r.session, prompt + 2, 2));
        running_must(r.context, calmoe_session_next(r.session, &token));
    }
    calmoe_policy_close(&policy);
    running_close(&r);
}

static void the_sentence_says_where_it_began(void **state)
{
    (void)state;
    check_sentence("token_embd.weight", false, "in the embedding of token 7, at position 1");
    check_sentence("blk.0.ffn_norm.weight", false, "in layer 0 (blk.0), at position 0");
    check_sentence("blk.1.attn_norm.weight", false, "in layer 1 (blk.1), at position 0");
    check_sentence("output_norm.weight", false, "in the output head");
    check_sentence("blk.1.attn_norm.weight", true, "in layer 1 (blk.1), at position 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_tensor_of_each_golden),
        cmocka_unit_test(the_sentence_says_where_it_began),
    };
    return cmocka_run_group_tests_name("NaN in weights", tests, open_folder, close_folder);
}
