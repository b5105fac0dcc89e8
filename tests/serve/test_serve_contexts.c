/* test_serve_contexts.c - texts that were read once and that requests name: the same answers as with the text in the
 * request, nothing of it is read again, and no other file can be named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/serve/serving.h"
#include "tests/support/temp_folder.h"

enum { N_WORDS = 60 };

static struct serving     server;
static struct temp_folder *folder;
static const char        *program;
static char              *text;

/* calmoe context, of the file at `from`. */
static void make_context(const char *from, const char *name, const char *kind)
{
    int         status = -1;
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char to[1200];
        (void)snprintf(to, sizeof to, "%s/%s", folder->path, name);
        const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (dup2(nowhere, STDOUT_FILENO) < 0 || dup2(nowhere, STDERR_FILENO) < 0) _exit(126);
        (void)execl(program, program, "context", "-t", "1", "-f", from, "-o", to, kind, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static int start(void **state)
{
    (void)state;
    folder = temp_folder_open();
    text   = long_text(N_WORDS, 5);
    const char *const path = temp_file_with(folder, "text", text, strlen(text));
    make_context(path, "plain", NULL);
    make_context(path, "turns", "--chat");
    const char *const options[] = {"-t", "2", "--temp", "0", "--slot-save-path", folder->path, NULL};
    server = serving_start(options);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    free(text);
    const int status = serving_stop(&server);
    temp_folder_close(&folder);
    return status;
}

/* The answer's text, and how many tokens of the prompt were not read. */
static char *ask(const char *path, const char *body, const char *member, int *n_cached)
{
    struct reply reply = client_ask(&server, path, body);
    if (reply.status != 200) fail_msg("%d: %s", reply.status, reply.body);
    char *const       answer = json_text(reply.body, member);
    const char *const cached = strstr(reply.body, "\"cached_tokens\":");
    assert_non_null(answer);
    assert_non_null(cached);
    *n_cached = (int)strtol(cached + 16, NULL, 10);
    reply_free(&reply);
    return answer;
}

/* The body of a question after the text, or after the context that has it. */
static char *request(const char *form, const char *question, const char *context)
{
    char *const body = malloc(4096);
    assert_non_null(body);
    (void)snprintf(body, 4096, form, context != NULL ? "" : text, question, context != NULL ? context : "");
    return body;
}

/* Twice each, in turns, so that what one question left is there for the other; last without any cache. */
static void check_same(const char *path, const char *form, const char *whole_form, const char *member,
                       const char *context, int n_least)
{
    static const char *const questions[] = {" Is it a file", " The value", " Is it a file"};
    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++) {
        int         n_read_before = 0, n_cached = -1;
        char *const named = request(form, questions[i], context);
        char *const whole = request(whole_form, questions[i], NULL);
        char *const found = ask(path, named, member, &n_read_before);
        char *const wanted = ask(path, whole, member, &n_cached);
        assert_int_equal(n_cached, 0);
        assert_string_equal(found, wanted);
        assert_true(n_read_before >= n_least);
        free(named);
        free(whole);
        free(found);
        free(wanted);
    }
}

#define REST ",\"max_tokens\":8,\"ignore_eos\":true"
#define ASKS "{\"role\":\"user\",\"content\":\"%s\"}]"
#define NAMED ",\"calmoe\":{\"context\":\"%s\"}}"
#define WHOLE ",\"cache_prompt\":false%s}"

static void test_plain(void **state)
{
    (void)state;
    check_same("/v1/completions", "{\"prompt\":\"%s%s\"" REST NAMED, "{\"prompt\":\"%s%s\"" REST WHOLE, "text", "plain",
               N_WORDS / 2);
}

static void test_conversations(void **state)
{
    (void)state;
    check_same("/v1/chat/completions",
               "{\"messages\":[%s" ASKS REST NAMED,
               "{\"messages\":[{\"role\":\"system\",\"content\":\"%s\"}," ASKS REST WHOLE,
               "content", "turns", N_WORDS / 2);
}

static void expect(const char *path, const char *body, int status, const char *pattern)
{
    struct reply reply = client_ask(&server, path, body);
    if (reply.status != status) fprintf(stderr, "%s %s\n   %s\n", path, body, reply.body);
    assert_int_equal(reply.status, status);
    assert_fits(reply.body, pattern);
    reply_free(&reply);
}

/* A slot's file is a context, too; a file that was written anew is read anew. */
static void test_saved_slots(void **state)
{
    (void)state;
    expect("/completion", "{\"prompt\":\"The list of names\",\"n_predict\":1,\"id_slot\":0}", 200, "*");
    expect("/slots/0?action=save", "{\"filename\":\"slot\"}", 200, "*");
    expect("/completion", "{\"prompt\":\" is\",\"n_predict\":1,\"calmoe\":{\"context\":\"slot\"}}", 200,
           "*\"tokens_evaluated\":5,*\"context\":\"slot\"*");
    expect("/completion", "{\"prompt\":\"The list\",\"n_predict\":1,\"id_slot\":0,\"cache_prompt\":false}", 200, "*");
    expect("/slots/0?action=save", "{\"filename\":\"slot\"}", 200, "*");
    expect("/completion", "{\"prompt\":\" is\",\"n_predict\":1,\"calmoe\":{\"context\":\"slot\"}}", 200,
           "*\"tokens_evaluated\":3,*");
}

static void test_refused(void **state)
{
    static const struct { const char *path, *rest; int status; const char *pattern; } rows[] = {
        {"/completion", "\"context\":\"../plain\"", 400, "*'context' wants a name without '/'*found '../plain'*"},
        {"/completion", "\"context\":\"/etc/passwd\"", 400, "*'context' wants a name without '/'*"},
        {"/completion", "\"context\":\".plain\"", 400, "*that does not begin with '.'*"},
        {"/completion", "\"context\":5", 400, "*'context' wants a text, found a number*"},
        {"/completion", "\"context\":\"nothing\"", 404, "*there is no context 'nothing'*"},
        {"/completion", "\"context\":\"text\"", 400, "*is no session*"},
        {"/completion", "\"context\":\"turns\"", 400, "*'turns' is a context for conversations*"},
        {"/v1/chat/completions", "\"context\":\"plain\"", 400, "*'plain' is a context without turns*"},
        {"/v1/completions", "\"context\":\"plain\"},\"echo\":true,\"x\":{", 400, "*'echo' wants no 'context'*"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char body[300];
        (void)snprintf(body, sizeof body, "{\"prompt\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],"
                                          "\"max_tokens\":1,\"calmoe\":{%s}}", rows[i].rest);
        expect(rows[i].path, body, rows[i].status, rows[i].pattern);
    }
    expect("/v1/chat/completions", "{\"messages\":[{\"role\":\"system\",\"content\":\"a\"}],\"calmoe\":{\"context\":"
                                   "\"turns\"}}", 400, "*'context' is the system text*found both*");
}

int main(int argc, char **argv)
{
    serving_begin(argc, argv);
    program = argv[1];
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plain), cmocka_unit_test(test_conversations),
                                       cmocka_unit_test(test_saved_slots), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, start, stop);
}
