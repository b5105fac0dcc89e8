/* answer_forms.c - the table of forms of thoughts and calls, told by what a template holds. The first row that fits
 * counts, so that the more special ones stand before the others. */
#include "runtime/text/answer_forms.h"

#include <string.h>

#define BAR   "\xef\xbd\x9c" /* U+FF5C */
#define BLOCK "\xe2\x96\x81" /* U+2581 */
#define MARK(words) "<" BAR words BAR ">"

static const struct answer_tags function_tags = {
    .name_open = "<function=", .name_close = ">", .key_open = "<parameter=", .key_close = ">", .value_open = "",
    .value_close = "</parameter>", .end = "</function>", .strips_lines = true,
};
static const struct answer_tags tight_function_tags = {
    .name_open = "<function=", .name_close = ">", .key_open = "<parameter=", .key_close = ">", .value_open = "",
    .value_close = "</parameter>", .end = "</function>",
};
static const struct answer_tags invoke_tags = {
    .name_open = "<invoke name=\"", .name_close = "\">", .key_open = "<parameter name=\"", .key_close = "\">",
    .value_open = "", .value_close = "</parameter>", .end = "</invoke>",
};
static const struct answer_tags named_tags = {
    .name_open = "<function name=\"", .name_close = "\">", .key_open = "<param name=\"", .key_close = "\">",
    .value_open = "", .value_close = "</param>", .end = "</function>",
};
static const struct answer_tags key_tags = {
    .name_open = "", .name_close = "\n", .key_open = "<arg_key>", .key_close = "</arg_key>",
    .value_open = "<arg_value>", .value_close = "</arg_value>",
};

static const struct answer_form forms[] = {
    { .needles = { MARK_CHANNEL, MARK_START }, .body = BODY_CHANNELS },
    { .needles = { "<|tool_call>" }, .call_open = "<|tool_call>", .call_close = "<tool_call|>", .body = BODY_QUOTED },
    { .needles = { "<|tool_call_argument_begin|>" }, .section_open = "<|tool_calls_section_begin|>",
      .section_close = "<|tool_calls_section_end|>", .call_open = "<|tool_call_begin|>",
      .call_close = "<|tool_call_end|>", .body = BODY_NAME_JSON, .separator = "<|tool_call_argument_begin|>" },
    { .needles = { "<" BAR "tool" BLOCK "calls" BLOCK "begin" BAR ">" },
      .section_open = MARK("tool" BLOCK "calls" BLOCK "begin"), .section_close = MARK("tool" BLOCK "calls" BLOCK "end"),
      .call_open = MARK("tool" BLOCK "call" BLOCK "begin"), .call_close = MARK("tool" BLOCK "call" BLOCK "end"),
      .body = BODY_NAME_JSON, .separator = MARK("tool" BLOCK "sep") },
    { .needles = { "<minimax:tool_call>" }, .call_open = "<minimax:tool_call>", .call_close = "</minimax:tool_call>",
      .body = BODY_TAGGED, .tags = &invoke_tags },
    { .needles = { "<seed:tool_call>" }, .call_open = "<seed:tool_call>", .call_close = "</seed:tool_call>",
      .body = BODY_TAGGED, .tags = &tight_function_tags },
    { .needles = { "<function=", "<|python_tag|>" }, .call_open = "<function=", .call_close = "</function>",
      .body = BODY_NAME_JSON, .separator = ">" },
    { .needles = { "<function name=\"", "<param name=\"" }, .body = BODY_TAGGED, .tags = &named_tags },
    { .needles = { "<function=" }, .call_open = "<tool_call>", .call_close = "</tool_call>", .body = BODY_TAGGED,
      .tags = &function_tags },
    { .needles = { "<arg_key>" }, .call_open = "<tool_call>", .call_close = "</tool_call>", .body = BODY_TAGGED,
      .tags = &key_tags },
    { .needles = { "<|tool_list_start|>" }, .call_open = "<|tool_call_start|>", .call_close = "<|tool_call_end|>",
      .body = BODY_PYTHON },
    { .needles = { "<|tool_call_start|>" }, .call_open = "<|tool_call_start|>", .call_close = "<|tool_call_end|>",
      .body = BODY_PYTHON },
    { .needles = { "<|python_start|>" }, .call_open = "<|python_start|>", .call_close = "<|python_end|>",
      .body = BODY_PYTHON, .is_bare = true },
    { .needles = { "<|header_start|>" }, .call_open = "<|python_start|>", .call_close = "<|python_end|>",
      .body = BODY_PYTHON, .is_bare = true },
    { .needles = { "<|python_tag|>" }, .call_open = "<|python_tag|>", .body = BODY_PYTHON, .is_bare = true },
    { .needles = { "[TOOL_CALLS]" }, .call_open = "[TOOL_CALLS]", .body = BODY_NAME_JSON, .separator = "[ARGS]",
      .id_mark = "[CALL_ID]" },
    { .needles = { "<|tool_call|>" }, .call_open = "<|tool_call|>", .call_close = "<|/tool_call|>", .body = BODY_JSON },
    { .needles = { "<TOOLCALL>" }, .call_open = "<TOOLCALL>", .call_close = "</TOOLCALL>", .body = BODY_JSON },
    { .needles = { "<|tool_call:begin|>" }, .section_open = "<|begin|>assistant", .call_open = "<|tool_call:begin|>",
      .call_close = "<|tool_call:end|>", .body = BODY_NAME_JSON, .separator = "<|tool_call:args|>",
      .id_mark = "<|tool_call:name|>", .id_first = true },
    { .needles = { "<|function_call|>" }, .call_open = "<|function_call|>", .body = BODY_JSON },
    { .needles = { "<|role_sep|>", "function call" }, .call_open = "<|message_sep|>\n\nfunction call<|role_sep|>\n",
      .body = BODY_JSON },
    { .needles = { "<tool_calls>[" }, .call_open = "<tool_calls>", .call_close = "</tool_calls>", .body = BODY_JSON },
    { .needles = { "<tool_calls>", "<tool_call>" }, .section_open = "<tool_calls>", .section_close = "</tool_calls>",
      .call_open = "<tool_call>", .call_close = "</tool_call>", .body = BODY_NAME_JSON, .separator = "\n" },
    { .needles = { "<tool_calls>" }, .call_open = "<tool_calls>", .call_close = "</tool_calls>", .body = BODY_JSON },
    { .needles = { "<tool_call>" }, .call_open = "<tool_call>", .call_close = "</tool_call>", .body = BODY_JSON },
    { .needles = { "functools[" }, .call_open = "functools", .body = BODY_JSON },
    { .needles = { "\"parameters\": dictionary of argument name" }, .body = BODY_PYTHON, .is_bare = true },
};

static const struct answer_thought thoughts[] = {
    { .needle = "<|channel>", .open = "<|channel>thought", .close = "<channel|>" },
    { .needle = "[THINK]", .open = "[THINK]", .close = "[/THINK]" },
    { .needle = "<seed:think>", .open = "<seed:think>", .close = "</seed:think>" },
    { .needle = "<|think|>", .open = "<|think|>", .close = "<|end|>" },
    { .needle = "[BEGIN FINAL RESPONSE]", .open = "Here are my reasoning steps:\n", .close = "[BEGIN FINAL RESPONSE]" },
    { .needle = "<response>", .open = "<think>", .close = "</think>", .text_open = "<response>",
      .text_close = "</response>" },
    { .needle = "<think>", .open = "<think>", .close = "</think>" },
    { .needle = "</think>", .open = "<think>", .close = "</think>" },
};

static bool holds(const char *tmpl, size_t n, const char *needle)
{
    return !needle || memmem(tmpl, n, needle, strlen(needle));
}

const struct answer_form *cm_answer_form(const char *tmpl, size_t n)
{
    for (size_t i = 0; n > 0 && i < sizeof forms / sizeof forms[0]; i++)
        if (holds(tmpl, n, forms[i].needles[0]) && holds(tmpl, n, forms[i].needles[1])) return &forms[i];
    return NULL;
}

const struct answer_thought *cm_answer_thought(const char *tmpl, size_t n)
{
    for (size_t i = 0; n > 0 && i < sizeof thoughts / sizeof thoughts[0]; i++)
        if (holds(tmpl, n, thoughts[i].needle)) return &thoughts[i];
    return NULL;
}
