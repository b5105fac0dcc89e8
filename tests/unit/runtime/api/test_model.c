/* test_model.c - what a model knows of its vocabulary once it is open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/engine/handles.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/tiny_model.h"

/* A matrix may have more rows than the vocabulary has tokens, to be a round number: they are never sampled. */
static void rows_without_a_token_are_not_sampled(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model();
    const int         n_tokens = tiny_model_n_vocab(&tiny);
    calmoe_context   *context;
    calmoe_model     *model;
    int               n_unusable = 0;
    tiny.n_vocab = n_tokens + 8;
    const char *path = temp_file(folder, "rows.gguf");
    tiny_model_write(&tiny, path);
    assert_int_equal(calmoe_context_open(NULL, &context), CALMOE_OK);
    assert_int_equal(calmoe_model_open(context, path, NULL, &model), CALMOE_OK);
    assert_int_equal(model->spec.n_vocab, n_tokens + 8);
    for (int id = 0; id < n_tokens + 8; id++) {
        assert_int_equal(model->usable[id], cm_token_is_usable(model->tokenizer, id));
        n_unusable += !model->usable[id];
        if (id >= n_tokens) assert_false(model->usable[id]);
    }
    assert_in_range(n_unusable, 8, n_tokens);
    calmoe_model_close(&model);
    calmoe_context_close(&context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_without_a_token_are_not_sampled)};
    return cmocka_run_group_tests_name("models", tests, open_folder, close_folder);
}
