/* Published vocabularies and the ids that their authors' tokenizers give for some texts. They are several
 * megabytes each and no part of the repository: skipped where they are not at hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/text/tokenizer.h"

#define FOLDER CALMOE_SHARED_DIR "/vocab/ggml-vocab-"
#define SEPARATOR "\n__ggml_vocab_test__\n"

/* NUL-terminated; the caller's to free. */
static char *read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    const long n = ftell(file);
    assert_true(n >= 0);
    rewind(file);
    char *text = malloc((size_t)n + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)n, file), (size_t)n);
    text[n] = '\0';
    fclose(file);
    return text;
}

/* Whether the ids of one line of the .out file are those of the list. */
static bool matches(const char *line, const struct token_list *list)
{
    for (int i = 0;; i++) {
        char      *end;
        const long id = strtol(line, &end, 10);
        if (end == line) return i == list->n;
        if (i >= list->n || list->ids[i] != id) return false;
        line = end;
    }
}

static void check_decoding(const struct tokenizer *tokenizer, const struct token_list *list, const char *text,
                           size_t n_bytes)
{
    struct text_stream stream = { .n_pending = 0 };
    char               out[4096];
    int                n = 0;
    for (int i = 0; i < list->n; i++)
        n += cm_text_stream_put(tokenizer, &stream, list->ids[i], false, out + n, (int)sizeof out - n);
    n += cm_text_stream_end(&stream, out + n, (int)sizeof out - n);
    assert_int_equal(n, n_bytes);
    assert_memory_equal(out, text, n_bytes);
}

/* text: up to the next separator, which stands behind the last one too; line: up to its newline. Both are
 * ended with NUL. */
static int check_texts(const struct tokenizer *tokenizer, char *text, char *line)
{
    int n = 0;
    for (; *text; n++) {
        char *const end = strstr(text, SEPARATOR), *const line_end = strchr(line, '\n');
        assert_non_null(line_end);
        assert_non_null(end);
        *line_end = *end = '\0';
        struct token_list list = { .n = 0 };
        assert_int_equal(cm_tokenize(NULL, tokenizer, text, strlen(text), 0, &list), CALMOE_OK);
        if (!matches(line, &list)) {
            print_message("text '%s'\nwanted %s\ngot   ", text, line);
            for (int i = 0; i < list.n; i++) print_message(" %d", list.ids[i]);
            fail_msg("text %d", n);
        }
        check_decoding(tokenizer, &list, text, strlen(text));
        cm_token_list_close(&list);
        text = end + strlen(SEPARATOR);
        line = line_end + 1;
    }
    assert_int_equal(*line, '\0');
    return n;
}

static void check_vocabulary(const char *name, const char *kind)
{
    char              path[1024];
    struct model_file      *file;
    struct tokenizer *tokenizer;
    snprintf(path, sizeof path, FOLDER "%s.gguf", name);
    assert_int_equal(cm_model_file_open(NULL, path, &file), CALMOE_OK);
    assert_int_equal(cm_tokenizer_open(NULL, file, &tokenizer), CALMOE_OK);
    cm_model_file_close(&file); /* nothing of it is needed any more */
    assert_string_equal(cm_tokenizer_name(tokenizer), kind);
    snprintf(path, sizeof path, FOLDER "%s.gguf.inp", name);
    char *texts = read_file(path);
    snprintf(path, sizeof path, FOLDER "%s.gguf.out", name);
    char     *ids = read_file(path);
    const int n = check_texts(tokenizer, texts, ids);
    assert_true(n > 40);
    free(texts);
    free(ids);
    cm_tokenizer_close(&tokenizer);
    assert_null(tokenizer);
}

static void gpt_2(void **state)
{
    (void)state;
    check_vocabulary("gpt-2", "bpe/gpt-2");
}

static void starcoder(void **state)
{
    (void)state;
    check_vocabulary("starcoder", "bpe/starcoder");
}

static void deepseek_llm(void **state)
{
    (void)state;
    check_vocabulary("deepseek-llm", "bpe/deepseek-llm");
}

static void llama_spm(void **state)
{
    (void)state;
    check_vocabulary("llama-spm", "spm");
}

int main(void)
{
    if (access(FOLDER "gpt-2.gguf", R_OK) != 0) {
        print_message("skipped: no vocabularies in " CALMOE_SHARED_DIR "/vocab\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt_2),
        cmocka_unit_test(starcoder),
        cmocka_unit_test(deepseek_llm),
        cmocka_unit_test(llama_spm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
