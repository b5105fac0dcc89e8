/* Chat templates: what they print, against Jinja; what is refused, and how; what hostile ones cannot do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/memory.h"
#include "runtime/text/conversation.h"

static const char conversation[] =
#include "tests/unit/runtime/text/template_conversation.inc"
    ;
static const struct {
    const char *text, *wanted;
} cases[] = {
#include "tests/unit/runtime/text/template_cases.inc"
};

/* Opens and runs a template; *out is NULL where that fails, and ctx has the sentence. */
static calmoe_status run(struct calmoe_context *ctx, const char *text, size_t n_bytes, char **out)
{
    struct template            *tmpl;
    struct conversation         read;
    struct template_text        made = { .text = NULL };
    const struct template_input input = { .bos = "<s>", .eos = "</s>", .now = 1700000000, .user = &read,
                                          .define = cm_conversation_define, .n_bytes = sizeof conversation };
    *out = NULL;
    calmoe_status status = cm_template_open(ctx, text, n_bytes, &tmpl);
    if (status == CALMOE_OK) {
        status = cm_conversation_open(ctx, conversation, sizeof conversation - 1, &read);
        if (status == CALMOE_OK) status = cm_template_render(ctx, tmpl, &input, &made);
        cm_conversation_close(&read);
    }
    cm_template_close(&tmpl);
    *out = made.text;
    made.text = NULL;
    cm_template_text_close(&made);
    return status;
}

static void templates_print_what_jinja_prints(void **state)
{
    (void)state;
    int n_wrong = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct calmoe_context ctx = { .message = "" };
        char                 *out;
        const calmoe_status   status = run(&ctx, cases[i].text, strlen(cases[i].text), &out);
        if (status != CALMOE_OK || strcmp(out, cases[i].wanted) != 0) {
            print_message("%s\n    wanted '%s'\n    got    '%s' %s\n", cases[i].text, cases[i].wanted, out ? out : "",
                          ctx.message);
            n_wrong++;
        }
        cm_free(out);
    }
    assert_int_equal(n_wrong, 0);
}

/* ---- what is refused ---- */

#define LINE(n) "line " #n " of the chat template: "

static const struct {
    const char *text, *wanted;
} refused[] = {
    { "{{ a", LINE(1) "a tag has no end" },
    { "a\n{% if x %}b", LINE(2) "'endif' is missing" },
    { "{% for m in messages %}{% endif %}", LINE(1) "the statement 'endif' is not known to this version" },
    { "{# a", LINE(1) "a comment has no end" },
    { "{{ 'a }}", LINE(1) "a string has no end" },
    { "{{ a b }}", LINE(1) "'b' is not expected" },
    { "{{ }}", LINE(1) "'' is not expected" },
    { "{{ a. }}", LINE(1) "a name is wanted" },
    { "{{ f(1=2) }}", LINE(1) "a name is wanted before '='" },
    { "{{ [1, 2 }}", LINE(1) "']' is wanted" },
    { "{{ @ }}", LINE(1) "'@' is not expected" },
    { "{{ 99999999999999999999 }}", LINE(1) "a number is too large" },
    { "{{ f(1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8) }}", LINE(1) "a call has more than 16 arguments" },
    { "{% include 'x' %}", LINE(1) "the statement 'include' is not known to this version" },
    { "{% set a, b = 1 %}", LINE(1) "a number has no items to walk over" },
    { "{% set a, b = [1] %}", LINE(1) "2 parts are wanted, found 1" },
    { "{% for m in messages recursive %}{% endfor %}", LINE(1) "'recursive' is not expected" },
    { "\n{{ messages | xmlattr }}", LINE(2) "the filter 'xmlattr' is not known to this version" },
    { "{{ 'a' is odd }}", LINE(1) "the test 'odd' wants a number" },
    { "{{ 'a' is blue }}", LINE(1) "the test 'blue' is not known to this version" },
    { "{{ 'a'.encode() }}", LINE(1) "'encode' is no method that is known to this version" },
    { "{{ messages.sort() }}", LINE(1) "'sort' is no method that is known to this version" },
    { "{{ lipsum(3) }}", LINE(1) "'lipsum' is no function that is known to this version" },
    { "{{ x.y }}", LINE(1) "a part is wanted of something that is not defined" },
    { "{{ messages[0].items }}", LINE(1) "a method is not printed" },
    { "{{ 'a'.__class__ }}", LINE(1) "'__class__' is not given to templates" },
    { "{{ 1 % 0 }}", LINE(1) "a division by 0" },
    { "{{ 1.5 // 0 }}", LINE(1) "a division by 0" },
    { "{{ 2 ** 99 }}", LINE(1) "a number is too large" },
    { "{{ 10.0 ** 999 }}", LINE(1) "a number is too large" },
    { "{{ 'a' + 1 }}", LINE(1) "a text and a number do not go together" },
    { "{{ 'a' + x }}", LINE(1) "a text and nothing (it is not defined) do not go together" },
    { "{{ 'a' < 1 }}", LINE(1) "a text and a number have no order" },
    { "{{ raise_exception }}", LINE(1) "a function is not printed" },
    { "{{ messages | map('upper') }}", LINE(1) "a generator is not printed" },
    { "{{ messages | map('upper') | length }}", LINE(1) "a generator has no length" },
    { "{{ '{}'.format() }}", LINE(1) "'format' has no value for the field ''" },
    { "{{ '{x}'.format(1) }}", LINE(1) "'format' has no value for the field 'x'" },
    { "{{ '{0}{}'.format(1, 2) }}", LINE(1) "'format' has fields with numbers and fields without" },
    { "{{ 'a{b'.format(1) }}", LINE(1) "the form '{b' of 'format' is not known to this version" },
    { "{{ 'a}'.format(1) }}", LINE(1) "the form '}' of 'format' is not known to this version" },
    { "{{ '{:{}}'.format(1, 2) }}", LINE(1) "the form '{:{}}' of 'format' is not known to this version" },
    { "{{ '{:d}'.format('a') }}", LINE(1) "the form 'd' of 'format' is not known to this version" },
    { "{{ '{:99999}'.format('a') }}", LINE(1) "the form '99999' of 'format' is not known to this version" },
    { "{{ x | tojson }}", LINE(1) "nothing (it is not defined) is nothing in JSON" },
    { "{{ tools[::2] }}", LINE(1) "a slice of none" },
    { "{{ x | dictsort }}", LINE(1) "'dictsort' wants a dict" },
    { "{{ 5 | indent }}", LINE(1) "'indent' wants a text, found a number" },
    { "{{ {[1]: 2} }}", LINE(1) "a list is no key of a dict" },
    { "{{ '{' | from_json }}", LINE(1) "'from_json' of a text that is no JSON" },
    { "{% for c in 5 %}{% endfor %}", LINE(1) "a number has no items to walk over" },
    { "{% set x.y = 1 %}", LINE(1) "a part is set of nothing (it is not defined); only of a namespace it can be" },
    { "{% macro f(a) %}{% endmacro %}{{ f(1, b=2) }}", LINE(1) "the macro 'f' has no such arguments" },
    { "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", LINE(1) "too many macros call each other" },
    { "{% set l = [] %}{{ l.append(l) }}{{ l }}", LINE(1) "too much stands inside each other" },
    { "{% set l = [1] %}{% for x in l %}{% set _ = l.append(x) %}{% endfor %}", NULL },
    { "{{ 'aaaaaaaaaaaaaaaa' * 99999999999 }}", NULL },
    { "{% for i in range(100000) %}{% for i in range(100000) %}{% endfor %}{% endfor %}", NULL },
    { "{% for i in range(9999999) %}{% endfor %}", NULL },
    { "{% set ns = namespace(a='aaaaaaaa') %}{% for i in range(99) %}{% set ns.a = ns.a + ns.a %}{% endfor %}", NULL },
    { "{% set ns = namespace(a=4611686018) %}{% for i in range(9) %}{% set ns.a = ns.a * ns.a %}{% endfor %}", NULL },
};

static void what_is_not_known_is_refused_by_name(void **state)
{
    (void)state;
    int n_wrong = 0;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct calmoe_context ctx = { .message = "" };
        const long            n_live = cm_live_blocks();
        char                 *out;
        const calmoe_status   status = run(&ctx, refused[i].text, strlen(refused[i].text), &out);
        if (status != CALMOE_UNSUPPORTED || (refused[i].wanted && strcmp(ctx.message, refused[i].wanted) != 0)) {
            print_message("%s\n    wanted '%s'\n    got    '%s' %s\n", refused[i].text, refused[i].wanted, ctx.message,
                          calmoe_status_name(status));
            n_wrong++;
        }
        assert_null(out);
        assert_int_equal(cm_live_blocks(), n_live);
    }
    assert_int_equal(n_wrong, 0);
}

static void a_template_may_refuse_a_conversation(void **state)
{
    (void)state;
    struct calmoe_context ctx = { .message = "" };
    const char           *text = "{% if messages[0].role == 'system' %}{{ raise_exception('no ' ~ 'system') }}"
                                 "{% endif %}";
    char                 *out;
    assert_int_equal(run(&ctx, text, strlen(text), &out), CALMOE_INVALID_ARGUMENT);
    assert_string_equal(ctx.message, "the chat template says: no system");
}

/* Deep, long and endless ones end with a sentence, not with the stack. */
static void hostile_templates_end(void **state)
{
    (void)state;
    static const char *const units[] = { "{{ (", "{{ [", "{{ not ", "{{ - ", "{% if 1 %}", "{{ 'a'.", "{{ a[", "{{ f(",
                                         "{{ {", "{% if 1 %}{% elif 1 %}" };
    static const char *const tails[] = { "(", "[", "not ", "- ", "{% if 1 %}", "b.", "a[", "f(", "{", "{% elif 1 %}" };
    enum { N = 200000 };
    char *text = malloc(N + 64);
    assert_non_null(text);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        struct calmoe_context ctx = { .message = "" };
        size_t                n = strlen(units[i]);
        char                 *out;
        memcpy(text, units[i], n);
        for (; n < N; n += strlen(tails[i])) memcpy(text + n, tails[i], strlen(tails[i]));
        assert_int_equal(run(&ctx, text, n, &out), CALMOE_UNSUPPORTED);
        assert_null(out);
    }
    size_t n = (size_t)snprintf(text, 8, "{{ 'a'");
    for (; n < N; n += 6) memcpy(text + n, " + 'b'", 6);
    n += (size_t)snprintf(text + n, 8, " }}");
    struct calmoe_context ctx = { .message = "" };
    char                 *out;
    assert_int_equal(run(&ctx, text, n, &out), CALMOE_UNSUPPORTED);
    assert_string_equal(ctx.message, LINE(1) "too much stands inside each other");
    free(text);
}

static void failing_memory_leaves_nothing(void **state)
{
    (void)state;
    static const char text[] = "{% for m in messages %}{{ m.role ~ m.content }}{% set a %}x{% endset %}{% endfor %}";
    const long        n_live = cm_live_blocks();
    calmoe_status     status = CALMOE_NO_MEMORY;
    for (long nth = 1; nth < 50 && status != CALMOE_OK; nth++) {
        char *out;
        cm_fail_request(nth);
        status = run(NULL, text, sizeof text - 1, &out);
        cm_fail_request(0);
        assert_true(status == CALMOE_OK || status == CALMOE_NO_MEMORY);
        cm_free(out);
        assert_int_equal(cm_live_blocks(), n_live);
    }
    assert_int_equal(status, CALMOE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_print_what_jinja_prints),
        cmocka_unit_test(what_is_not_known_is_refused_by_name),
        cmocka_unit_test(a_template_may_refuse_a_conversation),
        cmocka_unit_test(hostile_templates_end),
        cmocka_unit_test(failing_memory_leaves_nothing),
    };
    setenv("TZ", "UTC", 1);
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
