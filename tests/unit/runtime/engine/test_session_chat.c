/* test_session_chat.c - conversations in a session: the tokens of turns, what the history keeps of answers, going back
 * for it, and what a failed turn leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/engine/handles.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/running.h"
#include "tests/support/tiny_model.h"

/* ChatML whose history holds answers without their thoughts. */
#define THOUGHTLESS                                                                                              \
    "{% for m in messages %}{% set c = m.content.split('</think>')[-1].lstrip('\\n') if m.role == 'assistant' "   \
    "else m.content %}{{ '<|im_start|>' + m.role + '\\n' + c + '<|im_end|>\\n' }}{% endfor %}"                     \
    "{{ '<|im_start|>assistant\\n' }}"
#define USER(text) "<|im_start|>user\n" text "<|im_end|>\n<|im_start|>assistant\n"
#define SYSTEM(text) "<|im_start|>system\n" text "<|im_end|>\n"
#define NEXT(text) "<|im_end|>\n" USER(text)

static struct running open_chat(const char *template, int context, const char *format)
{
    static int             n_opened; /* each has a file of its own: engines read small tensors out of it */
    char                   path[600], name[32];
    struct tiny_model      tiny = tiny_model();
    calmoe_session_options options;
    tiny.chat_template = template;
    tiny.context = 400;
    snprintf(name, sizeof name, "chat%d.gguf", n_opened++);
    snprintf(path, sizeof path, "%s", temp_file(folder, name));
    tiny_model_write(&tiny, path);
    calmoe_session_options_init(&options);
    options.context = context;
    options.ignore_end = 1;
    options.chat_format = format;
    return running_open(path, NULL, &options);
}

static void say(struct running *r, const char *system, const char *user)
{
    running_must(r->context, calmoe_session_feed_chat(r->session, system, user));
}

static void answer(struct running *r, const char *text)
{
    running_must(r->context, calmoe_session_feed_text(r->session, text, strlen(text), CALMOE_TOKENIZE_SPECIAL));
}

/* The texts of all that the session knows, one after the other. */
static void check_text(const struct running *r, const char *wanted)
{
    char   got[2048];
    size_t n = 0;
    for (int i = 0; i < r->session->n_known; i++) {
        size_t      n_bytes;
        const char *bytes = calmoe_token_bytes(r->model, r->session->tokens[i], 1, &n_bytes);
        assert_true(n + n_bytes < sizeof got);
        memcpy(got + n, bytes, n_bytes);
        n += n_bytes;
    }
    got[n] = '\0';
    assert_string_equal(got, wanted);
}

static int32_t next(struct running *r)
{
    int32_t token;
    running_must(r->context, calmoe_session_next(r->session, &token));
    return token;
}

static void turns_are_appended(void **state)
{
    (void)state;
    struct running r = open_chat(TINY_CHATML, 0, NULL);
    say(&r, "the", "hello");
    check_text(&r, SYSTEM("the") USER("hello"));
    answer(&r, "<think>\na\n</think>\n\nworld");
    say(&r, "not looked at", "and");
    check_text(&r, SYSTEM("the") USER("hello") "<think>\na\n</think>\n\nworld" NEXT("and"));
    (void)next(&r);
    const int n = calmoe_session_n_positions(r.session);
    say(&r, NULL, "the");
    (void)next(&r);
    assert_true(calmoe_session_n_positions(r.session) > n); /* nothing was read twice */
    running_must(r.context, calmoe_session_rewind(r.session, 0));
    say(&r, NULL, "hello");
    check_text(&r, USER("hello"));
    running_close(&r);
}

static void thoughts_leave_the_history(void **state)
{
    (void)state;
    struct running r = open_chat(THOUGHTLESS, 0, NULL), plain = open_chat(TINY_CHATML, 0, NULL);
    say(&r, "the", "hello");
    answer(&r, "<think>\na\n</think>\n\nworld");
    (void)next(&r); /* it is read */
    r.session->n_known--; /* and what was sampled after it is none of the answer */
    say(&r, NULL, "and");
    check_text(&r, SYSTEM("the") USER("hello") "world" NEXT("and"));
    answer(&r, "</think>"); /* not read: nothing to go back over */
    say(&r, NULL, "the");
    check_text(&r, SYSTEM("the") USER("hello") "world" NEXT("and") NEXT("the"));
    answer(&r, "no thought");
    say(&r, NULL, "end");
    check_text(&r, SYSTEM("the") USER("hello") "world" NEXT("and") NEXT("the") "no thought" NEXT("end"));

    /* What comes next is what comes after the same tokens, read for the first time. */
    const size_t n = (size_t)r.session->n_known;
    running_must(plain.context, calmoe_session_feed_tokens(plain.session, r.session->tokens, n));
    for (int i = 0; i < 5; i++) assert_int_equal(next(&r), next(&plain));
    running_close(&plain);
    running_close(&r);
}

static void a_first_turn_is_fed_anew_with_its_beginning(void **state)
{
    (void)state;
    struct running r = open_chat(THOUGHTLESS, 0, NULL);
    say(&r, "the", "hello");
    answer(&r, "a</think>b");
    (void)next(&r);
    r.session->n_known--;
    say(&r, NULL, "and");
    check_text(&r, SYSTEM("the") USER("hello") "b" NEXT("and"));
    answer(&r, "c");
    say(&r, "not a first turn", "the");
    check_text(&r, SYSTEM("the") USER("hello") "b" NEXT("and") "c" NEXT("the"));
    running_close(&r);
}

static void a_turn_that_does_not_fit_changes_nothing(void **state)
{
    (void)state;
    struct running r = open_chat(THOUGHTLESS, 48, NULL);
    char           before[2048] = "";
    say(&r, NULL, "hello");
    answer(&r, "a</think>b");
    snprintf(before, sizeof before, "%s", USER("hello") "a</think>b");
    check_text(&r, before);
    assert_int_equal(calmoe_session_feed_chat(r.session, NULL, "hello world and the world and the world and the world "
                                                               "and the world and the hello"), CALMOE_FULL);
    check_text(&r, before);
    say(&r, NULL, "and"); /* the thought's room is free */
    check_text(&r, USER("hello") "b" NEXT("and"));
    running_close(&r);
}

/* A turn that was taken back in part cannot be fed anew: the history is what is left. */
static void a_rewind_forgets_the_turn(void **state)
{
    (void)state;
    struct running r = open_chat(THOUGHTLESS, 0, NULL);
    say(&r, NULL, "hello");
    answer(&r, "a</think>b");
    (void)next(&r);
    running_must(r.context, calmoe_session_rewind(r.session, 3));
    say(&r, NULL, "and");
    check_text(&r, "<|im_start|>user\n" NEXT("and"));
    running_close(&r);
}

/* A turn is taken back, whether or not its prompt was interrupted in the middle: what was before it is there, its first
 * answer as the history holds it, and a first turn is again the first. */
static void a_turn_can_be_taken_back(void **state)
{
    (void)state;
    struct running r = open_chat(THOUGHTLESS, 0, NULL);
    int32_t        token;
    assert_int_equal(calmoe_session_turn_begin(NULL), -1);
    assert_int_equal(calmoe_session_turn_begin(r.session), -1);
    say(&r, "the", "hello");
    assert_int_equal(calmoe_session_turn_begin(r.session), 0);
    running_must(r.context, calmoe_session_rewind(r.session, 0));
    say(&r, "and", "hello");
    answer(&r, "a</think>b");
    (void)next(&r);
    r.session->n_known--;
    say(&r, NULL, "and");
    calmoe_session_interrupt(r.session);
    assert_int_equal(calmoe_session_next(r.session, &token), CALMOE_CANCELLED);
    running_must(r.context, calmoe_session_rewind(r.session, calmoe_session_turn_begin(r.session)));
    assert_int_equal(calmoe_session_turn_begin(r.session), -1);
    check_text(&r, SYSTEM("and") USER("hello") "b");
    say(&r, NULL, "the");
    check_text(&r, SYSTEM("and") USER("hello") "b" NEXT("the"));
    (void)next(&r);
    running_close(&r);
}

static void a_format_can_be_chosen_by_name(void **state)
{
    (void)state;
    struct running         r = open_chat(NULL, 0, "chatml-thoughts");
    calmoe_session_options options;
    calmoe_session        *session;
    say(&r, NULL, "hello");
    answer(&r, "a</think>b");
    say(&r, NULL, "and");
    check_text(&r, USER("hello") "b" NEXT("and"));
    calmoe_session_options_init(&options);
    options.chat_format = "ChatML";
    assert_int_equal(calmoe_session_open(r.engine, &options, &session), CALMOE_INVALID_ARGUMENT);
    assert_non_null(strstr(calmoe_context_message(r.context), "'ChatML' is not known; wanted one of chatml, "));
    running_close(&r);
    assert_string_equal(calmoe_chat_format_name(0), "chatml");
    assert_null(calmoe_chat_format_name(-1));
    assert_null(calmoe_chat_format_name(1000));
}

static void without_a_format_nothing_is_fed(void **state)
{
    (void)state;
    calmoe_model_info info = {.size = sizeof info};
    struct running    r = open_chat("{{ messages | xmlattr }}", 0, NULL);
    assert_int_equal(calmoe_session_feed_chat(r.session, NULL, "hello"), CALMOE_UNSUPPORTED);
    assert_non_null(strstr(calmoe_context_message(r.context),
                           ".gguf' names no chat format that is known: line 1 of the chat template: the filter "
                           "'xmlattr' is not known to this version"));
    assert_int_equal(r.session->n_known, 0);
    running_must(r.context, calmoe_model_get_info(r.model, &info));
    assert_string_equal(info.chat_format, "");
    assert_string_equal(info.chat_problem,
                        "line 1 of the chat template: the filter 'xmlattr' is not known to this version");
    running_close(&r);

    r = open_chat("{% for m in messages if m.role != 'system' %}{{ m.content + '|' }}{% endfor %}", 0, NULL);
    running_must(r.context, calmoe_model_get_info(r.model, &info));
    assert_string_equal(info.chat_format, "template");
    assert_int_equal(calmoe_session_feed_chat(r.session, "the", "hello"), CALMOE_UNSUPPORTED);
    assert_string_equal(calmoe_context_message(r.context), "chat format 'template' has no place for a system text");
    say(&r, NULL, "hello");
    check_text(&r, "hello|");
    running_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_are_appended),
        cmocka_unit_test(thoughts_leave_the_history),
        cmocka_unit_test(a_first_turn_is_fed_anew_with_its_beginning),
        cmocka_unit_test(a_turn_that_does_not_fit_changes_nothing),
        cmocka_unit_test(a_rewind_forgets_the_turn),
        cmocka_unit_test(a_turn_can_be_taken_back),
        cmocka_unit_test(a_format_can_be_chosen_by_name),
        cmocka_unit_test(without_a_format_nothing_is_fed),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
