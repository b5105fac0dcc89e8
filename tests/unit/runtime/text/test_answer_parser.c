/* Answers as texts, thoughts and calls: every form, cut everywhere, broken, and cut off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "runtime/text/answer_parser.h"
#include "tests/support/toy_tokenizer.h"

#define BAR   "\xef\xbd\x9c"
#define BLOCK "\xe2\x96\x81"
#define DS(words) "<" BAR words BAR ">"

/* What templates end with, and, in a comment, the marks that tell their forms. */
#define PROMPT(tail, needles) "{{ messages[0].content }}{{ '" tail "' }}{# " needles " #}"
#define PLAIN    PROMPT("", "none")
#define JSON     PROMPT("", "<tool_call> </think>")
#define THINKS   PROMPT("<think>\\n", "<tool_call>")
#define NO_THINK PROMPT("<think>\\n\\n</think>\\n\\n", "<tool_call>")
#define FUNCTION PROMPT("<think>\\n", "<tool_call><function=")
#define INVOKE   PROMPT("<think>\\n", "<minimax:tool_call>")
#define KEYS     PROMPT("", "<tool_call><arg_key></think>")
#define DEEPSEEK PROMPT("</think>", DS("tool" BLOCK "calls" BLOCK "begin"))
#define KIMI     PROMPT("", "<|tool_call_argument_begin|> </think>")
#define CHANNELS PROMPT("<|start|>assistant", "<|channel|>")
#define QUOTED   PROMPT("", "<|tool_call> <|channel>")
#define LFM      PROMPT("", "<|tool_list_start|>")
#define LLAMA    PROMPT("", "<|header_start|>")
#define MISTRAL  PROMPT("", "[TOOL_CALLS]")
#define GRANITE  PROMPT("", "<|tool_call|>")
#define HUNYUAN  PROMPT("", "<tool_calls><tool_call>")

#define SEED     PROMPT("", "<seed:tool_call> <function= <seed:think>")
#define NAMED    PROMPT("", "<function=NAME> <|python_tag|>")
#define PARAMS   PROMPT("", "<function name=\"F\"><param name=\"P\"> </think>")
#define GIGA     PROMPT("", "<|function_call|>")
#define GIGA3    PROMPT("", "function call<|role_sep|>")
#define SOLAR    PROMPT("<|begin|>assistant", "<|tool_call:begin|> <|think|>")
#define APRIEL   PROMPT("Here are my reasoning steps:\\n", "<tool_calls>[ </tool_call> [BEGIN FINAL RESPONSE]")
#define BARE     PROMPT("", "\"parameters\": dictionary of argument name and its value")
#define FIRE     PROMPT("", "functools[")
#define RESPONSE PROMPT("<think>\\n", "<tool_call> <response>")

static const char conversation[] =
    "{\"messages\":[{\"role\":\"user\",\"content\":\"u\"}],\"tools\":["
    "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\",\"properties\":{"
    "\"s\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\"},\"l\":{\"type\":\"array\"},"
    "\"e\":{\"enum\":[\"a\",\"b\"]},"
    "\"m\":{\"type\":[\"string\",\"null\"]}}}}},{\"type\":\"function\",\"function\":{\"name\":\"g\"}}]}";

/* Events: T(text) R(thought) C(name#id) A(arguments) E; pieces of one kind are joined. */
static const struct {
    const char *template, *answer, *wanted;
} cases[] = {
    { PLAIN, "Hello <think>you</think> <tool_call>{}</tool_call>\n ",
      "T(Hello <think>you</think> <tool_call>{}</tool_call>\n )" },
    { PLAIN, "", "" },
    { PLAIN, "\n h\303\251 \360\237\230\200", "T(\n h\303\251 \360\237\230\200)" },
    { PLAIN, "a\303", "T(a\357\277\275)" },
    { PLAIN, "a\377b\303(", "T(a\357\277\275b\357\277\275()" },
    { JSON, "<think>\nWhy?\n\nSo.\n</think>\n\nBecause \n", "R(Why?\n\nSo.)T(Because \n)" },
    { JSON, "no <thin air <think", "T(no <thin air <think)" },
    { JSON, "stray</think> text", "T(stray)T(text)" },
    { THINKS, "I see.\n</think>\n\nYes", "R(I see.)T(Yes)" },
    { THINKS, "never ends", "R(never ends)" },
    { NO_THINK, "Yes", "T(Yes)" },
    { JSON, "Look:\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"s\": \"a\\\"}\", \"n\": [1, {}]}}\n</tool_call>",
      "T(Look:)C(f#)A({\"s\": \"a\\\"}\", \"n\": [1, {}]})E" },
    { JSON, "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>\n<tool_call>{\"name\":\"g\"}</tool_call>\nok",
      "C(f#)A({})EC(g#)ET(ok)" },
    { JSON, "<tool_call>{\"arguments\":{\"n\":1},\"name\":\"f\\u00e9\\ud83d\\ude00\"}</tool_call>",
      "C(f\303\251\360\237\230\200#)A({\"n\":1})E" },
    { JSON, "<tool_call>{\"name\":\"f\",\"arguments\":\"{\\\"n\\\": 1}\",\"x\":[1,\"]\"],\"y\":2}</tool_call>",
      "C(f#)A({\"n\": 1})E" },
    { JSON, "<tool_call>{\"name\":\"f\",\"parameters\":5}</tool_call>", "C(f#)A(5)E" },
    { JSON, "<tool_call>[{\"name\":\"f\",\"arguments\":{}},{\"name\":\"g\",\"arguments\":{}}]</tool_call>",
      "C(f#)A({})EC(g#)A({})E" },
    { JSON, "<tool_call>not JSON</tool_call>!", "T(<tool_call>not JSON)T(!)" },
    { JSON, "<tool_call>{\"no\": 1}</tool_call>!", "T(<tool_call>{\"no\": 1})T(!)" },
    { JSON, "<tool_call></tool_call>", "T(<tool_call>)" },
    { JSON, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"s\": \"cut", "C(f#)A({\"s\": \"cut)E" },
    { JSON, "<tool_call>\n{\"name\": \"f", "T(<tool_call>\n{\"name\": \"f)" },
    { JSON, "<tool_call>{\"name\":\"f\",\"arguments\":{}}\n<tool_call>{\"name\":\"g\",\"arguments\":{}}</tool_call>",
      "C(f#)A({})EC(g#)A({})E" },
    { JSON, "<tool_call>[{\"name\":\"f\"},{\"no\":1}]</tool_call>!", "C(f#)ET(!)" },
    { JSON, "<tool_call>{\"no\": {<tool_call>{\"name\":\"f\",\"arguments\":{\"n\": ",
      "T(<tool_call>{\"no\": {)C(f#)A({\"n\": )E" },
    { FUNCTION, "Hm.\n</think>\n\n<tool_call>\n<function=f>\n<parameter=s>\na \"b\"\nc\n</parameter>\n<parameter=n>"
      "\n5\n"
      "</parameter>\n<parameter=l>\n[1, 2]\n</parameter>\n</function>\n</tool_call>",
      "R(Hm.)C(f#)A({\"s\": \"a \\\"b\\\"\\nc\", \"n\": 5, \"l\": [1, 2]})E" },
    { FUNCTION, "</think><tool_call>\n<function=g>\n</function>\n</tool_call>\n<tool_call>\n<function=f>\n<parameter=e>"
      "\na\n"
      "</parameter>\n<parameter=n>\nTrue\n</parameter>\n<parameter=m>\nnull\n</parameter>\n<parameter=x>\nno <json\n"
      "</parameter>\n</function>\n</tool_call>",
      "C(g#)A({})EC(f#)A({\"e\": \"a\", \"n\": true, \"m\": null, \"x\": \"no <json\"})E" },
    { FUNCTION, "</think><tool_call>\n<function=f>\n<parameter=s>\n\n</parameter>\n<parameter=s>\n\n5\n\n</parameter>\n"
      "</function>\n</tool_call> z", "C(f#)A({\"s\": \"\", \"s\": \"\\n5\\n\"})ET(z)" },
    { FUNCTION, "</think><tool_call>\n<function=f>\n<parameter=s>\nab", "C(f#)A({\"s\": \"ab)E" },
    { FUNCTION, "</think><tool_call>\n<function=f>\n<parameter=n>\n12", "C(f#)A({\"n\": 12)E" },
    { FUNCTION, "</think><tool_call>\nfoo</tool_call>", "T(<tool_call>\nfoo)" },
    { FUNCTION, "</think><tool_call>\n<function=f>\n<parameter=n>\n1\n</parameter>\n</tool_call>",
      "C(f#)A({\"n\": 1})E" },
    { INVOKE, "t\n</think>\n\nHi\n<minimax:tool_call>\n<invoke name=\"f\">\n<parameter name=\"s\">x</parameter>\n"
      "<parameter name=\"n\"> 3 </parameter>\n</invoke>\n<invoke name=\"g\">\n</invoke>\n</minimax:tool_call>",
      "R(t)T(Hi)C(f#)A({\"s\": \"x\", \"n\": 3})EC(g#)A({})E" },
    { KEYS, "\n<think>t</think>\nOk\n<tool_call>f\n<arg_key>s</arg_key>\n<arg_value>1</arg_value>\n<arg_key>n"
      "</arg_key>\n"
      "<arg_value>1</arg_value>\n</tool_call><tool_call>g</tool_call>",
      "R(t)T(Ok)C(f#)A({\"s\": \"1\", \"n\": 1})EC(g#)A({})E" },
    { KEYS, "<tool_call>f<arg_key>l</arg_key><arg_value>[\"</arg\"]</arg_value></tool_call>",
      "C(f#)A({\"l\": [\"</arg\"]})E" },
    { DEEPSEEK, "Wait.[" DS("tool" BLOCK "calls" BLOCK "begin") "][" DS("tool" BLOCK "call" BLOCK "begin") "]f["
      DS("tool" BLOCK "sep") "]{\"s\":\"a\"}[" DS("tool" BLOCK "call" BLOCK "end") "]["
      DS("tool" BLOCK "call" BLOCK "begin") "]g[" DS("tool" BLOCK "sep") "]{}[" DS("tool" BLOCK "call" BLOCK "end") "]["
      DS("tool" BLOCK "calls" BLOCK "end") "]", "T(Wait.)C(f#)A({\"s\":\"a\"})EC(g#)A({})E" },
    { DEEPSEEK, DS("tool" BLOCK "calls" BLOCK "begin") DS("tool" BLOCK "call" BLOCK "begin") "function"
      DS("tool" BLOCK "sep") "f\n```json\n{\"n\":1}\n```" DS("tool" BLOCK "call" BLOCK "end")
      DS("tool" BLOCK "calls" BLOCK "end"), "C(f#)A({\"n\":1})E" },
    { KIMI, "<think>a</think>b[<|tool_calls_section_begin|>][<|tool_call_begin|>]functions.f:0"
      "[<|tool_call_argument_begin|>]{\"n\": 1}[<|tool_call_end|>][<|tool_call_begin|>]functions.g:1"
      "[<|tool_call_argument_begin|>]{}[<|tool_call_end|>][<|tool_calls_section_end|>][<|im_end|>]",
      "R(a)T(b)C(f#functions.f:0)A({\"n\": 1})EC(g#functions.g:1)A({})E" },
    { CHANNELS, "[<|channel|>]analysis[<|message|>]Think.[<|end|>][<|start|>]assistant[<|channel|>]final"
      "[<|message|>]Yes "
      "<|no|>[<|return|>]", "R(Think.)T(Yes <|no|>)" },
    { CHANNELS, "[<|channel|>]analysis[<|message|>]A[<|end|>][<|start|>]assistant[<|channel|>]commentary "
      "to=functions.f [<|constrain|>]json[<|message|>]{\"n\":1}[<|call|>]", "R(A)C(f#)A({\"n\":1})E" },
    { CHANNELS, "[<|channel|>]commentary[<|message|>]I will.[<|end|>][<|start|>]assistant to=functions.g"
      "[<|channel|>]commentary json[<|message|>]{}", "T(I will.)C(g#)A({})E" },
    { QUOTED, "[<|channel>]thought\nHm.[<channel|>]So:[<|tool_call>]call:f{s:[<|\"|>]a, \"b\"}[<|\"|>],n:3,l:[[<|\"|>]x"
      "[<|\"|>],true]}[<tool_call|>][<|tool_call>]call:g{}[<tool_call|>]",
      "R(Hm.)T(So:)C(f#)A({\"s\":\"a, \\\"b\\\"}\",\"n\":3,\"l\":[\"x\",true]})EC(g#)A({})E" },
    { QUOTED, "<|tool_call>call:f{m:{k:word, z:-1.5e3},b:null}<tool_call|>",
      "C(f#)A({\"m\":{\"k\":\"word\",\"z\":-1.5e3},\"b\":null})E" },
    { LFM, "[<|tool_call_start|>][f(s=\"it's \\\"x\\\"\", n=-1, l=[1, 'b', (2,), None], e={'k': True}), g()]"
      "[<|tool_call_end|>]Done",
      "C(f#)A({\"s\": \"it's \\\"x\\\"\", \"n\": -1, \"l\": [1, \"b\", [2,], null], \"e\": {\"k\": true}})"
      "EC(g#)A({})ET(Done)" },
    { LFM, "<|tool_call_start|>[{\"name\": \"f\", \"arguments\": {}}]<|tool_call_end|>",
      "C(f#)A({})E" },
    { LFM, "<|tool_call_start|>[f(s='a\nb\\n\\'\\x41')]", "C(f#)A({\"s\": \"a\\nb\\n'\\u0041\"})E" },
    { LFM, "<|tool_call_start|>[f(s=''a' b'', n=1), f(s=\"say \"x\"\" ), f(s='', e=['', \"\"])]<|tool_call_end|>",
      "C(f#)A({\"s\": \"'a' b'\", \"n\": 1})EC(f#)A({\"s\": \"say \\\"x\\\"\" })E"
      "C(f#)A({\"s\": \"\", \"e\": [\"\", \"\"]})E" },
    { LFM, "<|tool_call_start|>[f(s='cut'", "C(f#)A({\"s\": \"cut\")E" },
    { SEED, "<seed:think>t</seed:think>x<seed:tool_call>\n<function=f>\n<parameter=s>\na\n</parameter>\n<parameter=n>1"
      "</parameter>\n</function>\n</seed:tool_call>", "R(t)T(x)C(f#)A({\"s\": \"\\na\\n\", \"n\": 1})E" },
    { NAMED, "So:\n<function=f>{\"n\": 1}</function><function=g>{}</function>",
      "T(So:)C(f#)A({\"n\": 1})EC(g#)A({})E" },
    { PARAMS, "<think>t</think>a<function name=\"f\"><param name=\"s\">1</param><param name=\"n\">1</param>"
      "</function>\n<function name=\"g\"></function>b", "R(t)T(a)C(f#)A({\"s\": \"1\", \"n\": 1})EC(g#)A({})ET(b)" },
    { PARAMS, "a <function name=\"main\"> <function name=\"f",
      "T(a <function name=\"main\">)T( <function name=\"f)" },
    { FUNCTION, "</think>Look:\n<function=f>\n<parameter=n>\n1\n</parameter>\n</function>\n</tool_call>\n"
      "<tool_call>\n<function=g>\n</function>\n</tool_call>", "T(Look:)C(f#)A({\"n\": 1})EC(g#)A({})E" },
    { FUNCTION, "I call.\n<tool_call>\n<function=f>\n<parameter=n>\n1\n</parameter>\n</function>\n</tool_call>",
      "R(I call.)C(f#)A({\"n\": 1})E" },
    { FUNCTION, "</think><tool_call><function=f>"
      "<parameter=l>['a', \"it's\", 'say \"x\"\\n', True, {'k': None}]</parameter>"
      "<parameter=l>['no end</parameter><parameter=x>{'a': [1, 2.5]}</parameter></function></tool_call>",
      "C(f#)A({\"l\": [\"a\", \"it's\", \"say \\\"x\\\"\\n\", true, {\"k\": null}], \"l\": \"['no end\", "
      "\"x\": {\"a\": [1, 2.5]}})E" },
    { FUNCTION, "By <tool_call> and <tool_call>\n<function=h>\n</think>no",
      "R(By <tool_call> and <tool_call>\n<function=h>)T(no)" },
    { KEYS, "<think>a <tool_call>f\n</tool_call>", "R(a)C(f#)A({})E" },
    { KEYS, "<think>a <tool_call>s are\ngood</think>b", "R(a <tool_call>s are\ngood)T(b)" },
    { KIMI, "<think>a<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{}"
      "<|tool_call_end|><|tool_calls_section_end|>", "R(a)C(f#functions.f:0)A({})E" },
    { KIMI, "<think>a<|tool_call_begin|>functions.h:0<|tool_call_argument_begin|>{}",
      "R(a<|tool_call_begin|>functions.h:0<|tool_call_argument_begin|>{})" },
    { QUOTED, "<|channel>thought\na<|tool_call>call:g{}<tool_call|>", "R(a)C(g#)A({})E" },
    { JSON, "<think>a<tool_call>{\"name\": \"g\"}</tool_call>", "R(a)C(g#)E" },
    { JSON, "<think>a<tool_call>{\"name\": \"h\"}</think>", "R(a<tool_call>{\"name\": \"h\"})" },
    { GIGA, "Hi[<|function_call|>]{\"name\": \"f\", \"arguments\": {\"n\": 1}}", "T(Hi)C(f#)A({\"n\": 1})E" },
    { GIGA3, "Hi[<|message_sep|>]\n\nfunction call[<|role_sep|>]\n{\"name\": \"f\", \"arguments\": {\"n\": 1}}",
      "T(Hi)C(f#)A({\"n\": 1})E" },
    { SOLAR, "[<|think|>]Hm.[<|end|>][<|begin|>]assistant[<|content|>]Yes[<|end|>]", "R(Hm.)T(Yes)" },
    { SOLAR, "[<|think|>]Hm.[<|end|>][<|begin|>]assistant[<|tool_calls|>][<|tool_call:begin|>]id1[<|tool_call:name|>]f"
      "[<|tool_call:args|>]{\"n\": 1}[<|tool_call:end|>][<|tool_call:begin|>]id2[<|tool_call:name|>]g"
      "[<|tool_call:args|>]{}[<|tool_call:end|>][<|calls|>]", "R(Hm.)C(f#id1)A({\"n\": 1})EC(g#id2)A({})E" },
    { APRIEL, "I think\n[BEGIN FINAL RESPONSE]\nSo\n<tool_calls>[{\"name\": \"f\", \"arguments\": {\"n\": 1}}, "
      "{\"name\": \"g\", \"arguments\": {}}]</tool_calls>", "R(I think)T(So)C(f#)A({\"n\": 1})EC(g#)A({})E" },
    { BARE, "{\"name\": \"f\", \"parameters\": {\"n\": 1}}", "C(f#)A({\"n\": 1})E" },
    { BARE, "{\"name\": \"h\"} text", "T({\"name\": \"h\"} text)" },
    { FIRE, "Hi functools[{\"name\": \"f\", \"arguments\": {}}, {\"name\": \"g\", \"arguments\": {}}]",
      "T(Hi)C(f#)A({})EC(g#)A({})E" },
    { RESPONSE, "t\n</think>\n\n<response>\nHi\n</response>\n", "R(t)T(Hi)" },
    { RESPONSE, "</think>\n<tool_call>{\"name\": \"g\"}</tool_call>", "C(g#)E" },
    { LLAMA, "[f(n=1), g()]", "C(f#)A({\"n\": 1})EC(g#)A({})E" },
    { LLAMA, " {\"name\": \"f\", \"parameters\": {\"n\": 1}}", "C(f#)A({\"n\": 1})E" },
    { LLAMA, "{\"name\": \"Bob\", \"age\": 3}", "T({\"name\": \"Bob\", \"age\": 3})" },
    { LLAMA, "[1, 2]", "T([1, 2])" },
    { LLAMA, "[h(1)] is text", "T([h(1)] is text)" },
    { LLAMA, "text [f(n=1)]", "T(text [f(n=1)])" },
    { LLAMA, "[<|python_start|>][f(n=1)][<|python_end|>]", "C(f#)A({\"n\": 1})E" },
    { MISTRAL, "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"n\": 1}}, {\"name\": \"g\", \"arguments\": {}}]",
      "C(f#)A({\"n\": 1})EC(g#)A({})E" },
    { MISTRAL, "a[TOOL_CALLS]f[ARGS]{\"n\": 1}[TOOL_CALLS]g[CALL_ID]abc123def[ARGS]{}",
      "T(a)C(f#)A({\"n\": 1})EC(g#abc123def)A({})E" },
    { MISTRAL, "[TOOL_CALLS][ARGS]{\"n\": 1}", "C(#)A({\"n\": 1})E" },
    { GRANITE, "[<|tool_call|>][{\"name\": \"f\", \"arguments\": {}}]", "C(f#)A({})E" },
    { HUNYUAN, "<tool_calls>\n<tool_call>f\n```json\n{\"n\":1}\n```</tool_call>\n</tool_calls>", "C(f#)A({\"n\":1})E" },
};

/* ---- running a parser ---- */

struct record {
    char   text[4096];
    size_t n;
    int    kind;
};

static void put(struct record *record, const char *text, size_t n)
{
    assert_true(record->n + n < sizeof record->text);
    memcpy(record->text + record->n, text, n);
    record->n += n;
    record->text[record->n] = '\0';
}

static void tell(void *user, const struct answer_told *told)
{
    static const char letters[] = "TRCAE";
    struct record    *record = user;
    assert_int_equal(strlen(told->text), told->n); /* texts of these cases have no NUL */
    const bool goes_on = record->n > 0 && record->kind == (int)told->kind && record->text[record->n - 1] == ')' &&
                         told->kind != ANSWER_CALL_BEGIN;
    if (goes_on) record->n--;
    else put(record, &letters[told->kind], 1);
    record->kind = (int)told->kind;
    if (told->kind == ANSWER_CALL_END) return;
    if (!goes_on) put(record, "(", 1);
    put(record, told->text, told->n);
    if (told->kind == ANSWER_CALL_BEGIN) put(record, "#", 1);
    if (told->kind == ANSWER_CALL_BEGIN) put(record, told->id, strlen(told->id));
    put(record, ")", 1);
}

struct piece {
    const char *text;
    size_t      n;
    bool        is_control;
};

/* "[<|a|>]" in an answer is a control token; the rest is text. */
static int cut_controls(const char *answer, struct piece *pieces)
{
    int n = 0;
    while (*answer) {
        const bool  is_control = (!strncmp(answer, "[<|", 3) || !strncmp(answer, "[<" BAR, 5) ||
                                 !strncmp(answer, "[<channel", 9) || !strncmp(answer, "[<tool", 6));
        const char *end = is_control ? strstr(answer, ">]") + 1 : answer + 1;
        while (!is_control && *end && strncmp(end, "[<|", 3) && strncmp(end, "[<" BAR, 5) &&
               strncmp(end, "[<channel", 9) && strncmp(end, "[<tool", 6))
            end++;
        pieces[n++] = (struct piece){ answer + is_control, (size_t)(end - answer) - is_control, is_control };
        answer = end + is_control;
    }
    return n;
}

static struct tokenizer *tokenizer;

static void run(const char *tmpl, const char *answer, size_t step, struct record *record, bool no_calls,
                bool no_reasoning)
{
    struct piece        pieces[64];
    struct template    *opened;
    struct chat_prompt *prompt;
    struct answer_parser *parser;
    const int           n = cut_controls(answer, pieces);
    assert_int_equal(cm_template_open(NULL, tmpl, strlen(tmpl), &opened), CALMOE_OK);
    const struct chat_prompt_source source = { .plain = { opened, tmpl, strlen(tmpl), "" },
                                               .tokenizer = tokenizer };
    assert_int_equal(cm_chat_prompt_open(NULL, &source, conversation, sizeof conversation - 1, &prompt), CALMOE_OK);
    const struct answer_source how = { .tmpl = tmpl, .n_tmpl = strlen(tmpl), .tokenizer = tokenizer, .prompt = prompt,
                                       .tell = tell, .user = record, .no_calls = no_calls,
                                       .no_reasoning = no_reasoning };
    assert_int_equal(cm_answer_parser_open(NULL, &how, &parser), CALMOE_OK);
    cm_chat_prompt_close(&prompt);
    cm_template_close(&opened);
    *record = (struct record){ .n = 0 };
    for (int i = 0; i < n; i++)
        for (size_t at = 0; at < pieces[i].n;) {
            const size_t left = pieces[i].n - at, n_now = pieces[i].is_control || left < step ? left : step;
            char        *copy = malloc(n_now); /* so that reading on behind it is seen */
            assert_non_null(copy);
            memcpy(copy, pieces[i].text + at, n_now);
            assert_int_equal(cm_answer_parser_put(parser, copy, n_now, pieces[i].is_control), CALMOE_OK);
            free(copy);
            at += n_now;
        }
    assert_int_equal(cm_answer_parser_finish(parser), CALMOE_OK);
    cm_answer_parser_close(&parser);
}

/* Text on either side of a mark is one event or two: "T(a)T(b)" is what is wanted where a mark stood between. */
static void normalise(const char *wanted, char *out)
{
    size_t n = 0;
    for (const char *at = wanted; *at; at++) {
        if (!strncmp(at, ")T(", 3)) {
            const char *open = at;
            while (open > wanted && !(open[0] == '(' && strchr("TRCA", open[-1]))) open--;
            if (open > wanted && open[-1] == 'T') {
                at += 2;
                continue;
            }
        }
        out[n++] = *at;
    }
    out[n] = '\0';
}

static void every_form_is_read_however_it_is_cut(void **state)
{
    static const size_t steps[] = { 4096, 1, 2, 3, 7 };
    (void)state;
    int n_wrong = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char wanted[4096];
        normalise(cases[i].wanted, wanted);
        for (size_t k = 0; k < sizeof steps / sizeof steps[0]; k++) {
            struct record record;
            run(cases[i].template, cases[i].answer, steps[k], &record, false, false);
            if (!strcmp(record.text, wanted)) continue;
            print_message("%s\n    in steps of %zu\n    wanted %s\n    got    %s\n", cases[i].answer, steps[k], wanted,
                          record.text);
            n_wrong++;
            break;
        }
    }
    assert_int_equal(n_wrong, 0);
}

static void what_is_not_wanted_is_text(void **state)
{
    struct record record;
    (void)state;
    run(JSON, "<think>a</think>\n<tool_call>{\"name\":\"f\"}</tool_call>", 1, &record, true, false);
    assert_string_equal(record.text, "R(a)T(<tool_call>{\"name\":\"f\"}</tool_call>)");
    run(JSON, "<think>a</think>\n<tool_call>{\"name\":\"f\"}</tool_call>", 1, &record, false, true);
    assert_string_equal(record.text, "T(<think>a</think>)C(f#)E");
    run(CHANNELS, "[<|channel|>]analysis[<|message|>]a[<|end|>][<|start|>]assistant[<|channel|>]commentary to=f"
                  "[<|message|>]{}[<|call|>]", 1, &record, true, true);
    assert_string_equal(record.text, "T(a{})");
}

static void failing_memory_leaves_nothing(void **state)
{
    (void)state;
    const char   *tmpl = FUNCTION;
    const char   *answer = "a</think>b<tool_call><function=f><parameter=n>\n1\n</parameter></function>";
    const long    n_live = cm_live_blocks();
    calmoe_status status = CALMOE_NO_MEMORY;
    struct record record = { .n = 0 };
    for (long nth = 1; nth < 60 && status != CALMOE_OK; nth++) {
        const struct answer_source how = { .tmpl = tmpl, .n_tmpl = strlen(tmpl), .tokenizer = tokenizer, .tell = tell,
                                           .user = &record };
        struct answer_parser      *parser;
        record.n = 0;
        cm_fail_request(nth);
        status = cm_answer_parser_open(NULL, &how, &parser);
        if (status == CALMOE_OK) status = cm_answer_parser_put(parser, answer, strlen(answer), false);
        if (status == CALMOE_OK) status = cm_answer_parser_finish(parser);
        cm_fail_request(0);
        assert_true(status == CALMOE_OK || status == CALMOE_NO_MEMORY);
        cm_answer_parser_close(&parser);
        assert_int_equal(cm_live_blocks(), n_live);
    }
    assert_int_equal(status, CALMOE_OK);
}

static int open_tokenizer(void **state)
{
    static struct toy_tokenizer toy;
    (void)state;
    toy_bpe(&toy, "qwen2");
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_is_read_however_it_is_cut),
        cmocka_unit_test(what_is_not_wanted_is_text),
        cmocka_unit_test(failing_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, open_tokenizer, close_tokenizer);
}
