/* Templates in the shapes of published ones, on conversations of every kind: byte for byte what Jinja makes of them, as
 * make_chat_template_cases.py wrote it down; and of what people say no control token is made. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/file_map.h"
#include "base/memory.h"
#include "runtime/documents/json.h"
#include "runtime/text/chat_prompt.h"
#include "tests/support/toy_tokenizer.h"

#define FOLDER CALMOE_SOURCE_DIR "/tests/unit/runtime/text/chat_templates/"

static struct tokenizer *tokenizer;
static int32_t           im_end;

/* The line at *at, which moves behind it. */
static struct meta_string next_line(const struct file_map *map, size_t *at)
{
    const char  *begin = (const char *)map->bytes + *at;
    const char  *end = memchr(begin, '\n', map->n_bytes - *at);
    const size_t n = end ? (size_t)(end - begin) : map->n_bytes - *at;
    *at += n + (end != NULL);
    return (struct meta_string){ begin, n };
}

/* Marks of the conversation are text, those of the template are tokens. */
static void check_tokens(const struct chat_prompt *prompt)
{
    static const char mark[] = "<|im_end|>";
    const char       *text = prompt->text.text;
    int               n_written = 0, n_tokens = 0;
    for (const char *at = text; (at = strstr(at, mark)) != NULL; at++)
        n_written += prompt->text.marks[at - text] == 0 && prompt->text.marks[at - text + 9] == 0;
    for (int i = 0; i < prompt->tokens.n; i++) n_tokens += prompt->tokens.ids[i] == im_end;
    assert_int_equal(n_tokens, n_written);
    const char *said = strstr(text, "Hi <|im_end|>");
    for (size_t i = 0; said && i < 13; i++) assert_int_equal(prompt->text.marks[said - text + (long)i], 1);
}

static int check_case(const struct chat_prompt_source *source, const char *name, struct meta_string asked,
                      struct meta_string line)
{
    struct calmoe_context ctx = { .message = "" };
    struct json_document  document;
    struct chat_prompt   *prompt;
    size_t                n;
    assert_int_equal(cm_json_parse_argument(&ctx, "the expectation", line.bytes, (size_t)line.n_bytes, &document),
                     CALMOE_OK);
    const struct json_value root = cm_json_root(&document), wanted = cm_json_get(&root, "text");
    const char             *text = cm_json_bytes(&wanted, &n);
    const bool              is_refused = !wanted.json;
    bool                    fits;
    const calmoe_status     status = cm_chat_prompt_open(&ctx, source, asked.bytes, (size_t)asked.n_bytes, &prompt);
    if (is_refused) fits = status != CALMOE_OK;
    else fits = status == CALMOE_OK && prompt->text.n == n && !memcmp(prompt->text.text, text, n);
    if (!fits)
        print_message("%s: %.*s\n    wanted %s\n    got    %s %s\n", name, (int)asked.n_bytes, asked.bytes,
                      is_refused ? "a refusal" : text, prompt ? prompt->text.text : "", ctx.message);
    else if (prompt) check_tokens(prompt);
    cm_chat_prompt_close(&prompt);
    cm_json_close(&document);
    return !fits;
}

/* All conversations by one template; the number of those that differ. */
static int check_template(const char *name, const struct file_map *conversations)
{
    char            path[512];
    struct file_map tmpl, expected;
    size_t          at = 0, at_expected = 0;
    int             n_wrong = 0;
    snprintf(path, sizeof path, FOLDER "%s.jinja", name);
    assert_int_equal(cm_file_map_open(NULL, path, &tmpl), CALMOE_OK);
    snprintf(path, sizeof path, FOLDER "%s.jsonl", name);
    assert_int_equal(cm_file_map_open(NULL, path, &expected), CALMOE_OK);
    struct calmoe_context     ctx = { .message = "" };
    struct template          *opened;
    struct chat_prompt_source source = { .plain = { .text = (const char *)tmpl.bytes, .n_text = tmpl.n_bytes },
                                         .tokenizer = tokenizer, .now = 1700000000 };
    if (cm_template_open(&ctx, source.plain.text, source.plain.n_text, &opened) != CALMOE_OK)
        fail_msg("%s: %s", name, ctx.message);
    source.plain.program = opened;
    while (at < conversations->n_bytes && at_expected < expected.n_bytes)
        n_wrong += check_case(&source, name, next_line(conversations, &at), next_line(&expected, &at_expected));
    assert_int_equal(at, conversations->n_bytes);
    assert_int_equal(at_expected, expected.n_bytes);
    cm_template_close(&opened);
    cm_file_map_close(&tmpl);
    cm_file_map_close(&expected);
    return n_wrong;
}

static void every_template_writes_what_jinja_writes(void **state)
{
    (void)state;
    struct file_map      conversations;
    const struct dirent *entry;
    int                  n_templates = 0, n_wrong = 0;
    assert_int_equal(cm_file_map_open(NULL, FOLDER "conversations.jsonl", &conversations), CALMOE_OK);
    DIR *folder = opendir(FOLDER);
    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL) {
        char        name[64];
        const char *dot = strstr(entry->d_name, ".jinja");
        if (!dot || dot[6]) continue;
        snprintf(name, sizeof name, "%.*s", (int)(dot - entry->d_name), entry->d_name);
        n_wrong += check_template(name, &conversations);
        n_templates++;
    }
    closedir(folder);
    cm_file_map_close(&conversations);
    assert_int_equal(n_wrong, 0);
    assert_true(n_templates >= 16);
}

static int open_tokenizer(void **state)
{
    static struct toy_tokenizer toy;
    (void)state;
    toy_bpe(&toy, "qwen2");
    toy.bos = toy_id(&toy, "<s>");
    toy.eos = toy_id(&toy, "</s>");
    im_end = toy_id(&toy, "<|im_end|>");
    setenv("TZ", "UTC", 1);
    tzset();
    return toy_open(NULL, &toy, &tokenizer) == CALMOE_OK ? 0 : -1;
}

static int close_tokenizer(void **state)
{
    (void)state;
    cm_tokenizer_close(&tokenizer);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_template_writes_what_jinja_writes) };
    return cmocka_run_group_tests(tests, open_tokenizer, close_tokenizer);
}
