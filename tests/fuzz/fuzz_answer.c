/* fuzz_answer.c - any bytes as an answer, in the form that the first byte chooses, cut as the second says: what is
 * told is UTF-8 in the right order, and does not depend on the cut. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/text/answer_parser.h"
#include "runtime/text/utf8.h"

enum { MAX_BYTES = 1 << 13 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition) ((condition) ? (void)0 : abort())

/* The marks by which templates tell their forms. */
static const char *const templates[] = {
    "<tool_call> </think>", "<tool_call><function= <think>", "<minimax:tool_call> <think>",
    "<tool_call><arg_key> <think>", "<\xef\xbd\x9ctool\xe2\x96\x81" "calls\xe2\x96\x81" "begin\xef\xbd\x9c> </think>",
    "<|tool_call_argument_begin|> <think>", "<|channel|><|start|>", "<|tool_call> <|channel>",
    "<|tool_list_start|>", "<|header_start|>", "[TOOL_CALLS] [THINK]", "<|tool_call|>", "<tool_calls><tool_call>", "",
    "<seed:tool_call> <seed:think>", "<function=<|python_tag|>", "<function name=\"<param name=\" </think>",
    "<|function_call|>", "<|role_sep|> function call", "<|tool_call:begin|> <|think|>",
    "<tool_calls>[ [BEGIN FINAL RESPONSE]", "\"parameters\": dictionary of argument name", "functools[",
    "<tool_call> <response>",
};
enum { N_TEMPLATES = sizeof templates / sizeof templates[0] };

/* A tool f with a text s; the rows' texts stand behind them, as those of a prompt do. */
static struct {
    struct tool_parameter rows[2];
    char                  texts[8];
} tools = { .texts = "f\0s\0" };

struct heard {
    char  *text;     /* (n of room) kinds and texts, those of one kind joined */
    size_t n, room;
    int    kind, n_open, n_calls;
};

static void put(struct heard *heard, const char *text, size_t n)
{
    if (heard->n + n > heard->room) {
        heard->room = 2 * (heard->n + n) + 64;
        heard->text = realloc(heard->text, heard->room);
        CHECK(heard->text);
    }
    memcpy(heard->text + heard->n, text, n);
    heard->n += n;
}

static void hear(void *user, const struct answer_told *told)
{
    struct heard *heard = user;
    CHECK(told->text[told->n] == '\0' && told->id);
    for (size_t at = 0; at < told->n;) {
        const int length = cm_utf8_length(told->text + at, told->n - at);
        CHECK(length > 0);
        at += (size_t)length;
    }
    heard->n_open += told->kind == ANSWER_CALL_BEGIN;
    heard->n_open -= told->kind == ANSWER_CALL_END;
    CHECK(heard->n_open == 0 || heard->n_open == 1);
    CHECK(told->kind != ANSWER_CALL_ARGUMENTS || heard->n_open == 1);
    CHECK((told->kind != ANSWER_TEXT && told->kind != ANSWER_REASONING) || heard->n_open == 0);
    if (told->kind == ANSWER_CALL_BEGIN) CHECK(told->call == heard->n_calls++);
    if (heard->kind != (int)told->kind || told->kind == ANSWER_CALL_BEGIN) put(heard, "\n", 1);
    heard->kind = (int)told->kind;
    put(heard, told->text, told->n);
}

static struct heard listen(const char *tmpl, const char *text, size_t n, size_t step)
{
    char                  none[1] = "";
    struct heard          heard = { .kind = -1 };
    struct chat_prompt    prompt = { .text = { none, NULL, 0 }, .parameters = { tools.rows, 2, sizeof tools } };
    struct answer_source  how = { .tmpl = tmpl, .n_tmpl = strlen(tmpl), .tell = hear, .user = &heard,
                                  .prompt = &prompt };
    struct answer_parser *parser;
    tools.rows[0] = (struct tool_parameter){ tools.texts, tools.texts + 1, false };
    tools.rows[1] = (struct tool_parameter){ tools.texts, tools.texts + 2, true };
    CHECK(cm_answer_parser_open(NULL, &how, &parser) == CALMOE_OK);
    for (size_t at = 0; at < n; at += step)
        CHECK(cm_answer_parser_put(parser, text + at, n - at < step ? n - at : step, false) == CALMOE_OK);
    CHECK(cm_answer_parser_finish(parser) == CALMOE_OK);
    CHECK(heard.n_open == 0);
    cm_answer_parser_close(&parser);
    return heard;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > MAX_BYTES) return 0;
    const char  *tmpl = templates[data[0] % N_TEMPLATES];
    const long   n_live = cm_live_blocks();
    struct heard whole = listen(tmpl, (const char *)data + 2, size - 2, size);
    struct heard cut = listen(tmpl, (const char *)data + 2, size - 2, 1 + data[1] % 16u);
    CHECK(whole.n == cut.n && (whole.n == 0 || !memcmp(whole.text, cut.text, whole.n)));
    free(whole.text);
    free(cut.text);
    CHECK(cm_live_blocks() == n_live);
    return 0;
}
