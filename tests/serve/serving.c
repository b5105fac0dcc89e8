/* tests/serve/serving.c - see serving.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/serve/serving.h"

enum { MAX_OPTIONS = 40, READ_SECONDS = 900 };

static const char *program;

double seconds_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void sleep_milliseconds(int n)
{
    (void)nanosleep(&(struct timespec){n / 1000, n % 1000 * 1000000L}, NULL);
}

/* ---- the server ---- */

void serving_begin(int argc, char **argv)
{
    const char *models = getenv("CALMOE_MODELS");
    char        path[1024];
    (void)snprintf(path, sizeof path, "%s/calmoe-nano.gguf", models != NULL ? models : "models");
    program = argc > 1 ? argv[1] : NULL;
    if (program != NULL && access(path, R_OK) == 0) return;
    fprintf(stderr, "skipped: wanted the program calmoe as an argument, and the embedded model at '%s'\n", path);
    exit(77);
}

static void run_server(const char *const *options, int out)
{
    const char *argv[MAX_OPTIONS] = {program, "serve", "--port", "0"};
    int         n = 4;
    for (; *options != NULL && n < MAX_OPTIONS - 1; options++) argv[n++] = *options;
    (void)dup2(out, STDOUT_FILENO);
    (void)execv(program, (char **)(uintptr_t)argv);
    _exit(127);
}

struct serving serving_start(const char *const *options)
{
    struct serving serving = {.port = 0};
    char           line[300] = "";
    int            pipes[2];
    size_t         n = 0;
    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe(pipes), 0);
    serving.pid = fork();
    assert_true(serving.pid >= 0);
    if (serving.pid == 0) run_server(options, pipes[1]);
    (void)close(pipes[1]);
    while (n + 1 < sizeof line && strchr(line, '\n') == NULL) {
        const ssize_t more = read(pipes[0], line + n, sizeof line - 1 - n);
        if (more <= 0) break;
        n += (size_t)more;
        line[n] = '\0';
    }
    (void)close(pipes[0]);
    const char *const colon = strrchr(line, ':');
    if (colon != NULL) serving.port = (int)strtol(colon + 1, NULL, 10);
    if (serving.port == 0) fail_msg("the server said '%s'", line);
    return serving;
}

int serving_stop(struct serving *serving)
{
    const double until = seconds_now() + WAIT_SECONDS;
    int          status = 0;
    if (serving->pid <= 0) return -1; /* it did not start; as a process's number 0 would mean this one's whole group */
    (void)kill(serving->pid, SIGTERM);
    while (waitpid(serving->pid, &status, WNOHANG) == 0) {
        if (seconds_now() > until) {
            (void)kill(serving->pid, SIGKILL);
            fail_msg("the server did not end");
        }
        sleep_milliseconds(5);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- the client ---- */

int client_open(const struct serving *serving, int receive_bytes)
{
    const struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)serving->port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {.tv_sec = READ_SECONDS};
    const int            fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (receive_bytes > 0)
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void send_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        const ssize_t sent = write(fd, bytes, n);
        if (sent <= 0) return; /* the server may answer and close before it has read all */
        bytes += sent;
        n -= (size_t)sent;
    }
}

void client_send(int fd, const char *path, const char *headers, const char *body)
{
    char head[2048];
    const char *const host = strstr(headers, "Host:") != NULL ? "" : "Host: localhost\r\n";
    const int n = body == NULL
        ? snprintf(head, sizeof head, "GET %s HTTP/1.1\r\n%s%s\r\n", path, host, headers)
        : snprintf(head, sizeof head, "POST %s HTTP/1.1\r\n%sContent-Type: application/json\r\nContent-Length: %zu\r\n"
                                      "%s\r\n", path, host, strlen(body), headers);
    send_all(fd, head, (size_t)n);
    if (body != NULL) send_all(fd, body, strlen(body));
}

static bool grow(char **bytes, size_t n, size_t *capacity)
{
    if (n + 4096 < *capacity) return true;
    *capacity = 2 * *capacity + 8192;
    char *larger = realloc(*bytes, *capacity);
    if (larger != NULL) *bytes = larger;
    return larger != NULL;
}

/* The bodies of the chunks that are there, at the front of body; true where the last one is among them. */
static bool join_chunks(const char *from, size_t n, char *body, size_t *n_body)
{
    size_t at = 0;
    *n_body = 0;
    while (at < n) {
        char       *end = NULL;
        const char *line_end = memchr(from + at, '\n', n - at);
        if (line_end == NULL) return false;
        const size_t length = strtoul(from + at, &end, 16), begin = (size_t)(line_end - from) + 1;
        if (length == 0) return true;
        const size_t there = begin + length <= n ? length : n - begin;
        memcpy(body + *n_body, from + begin, there);
        *n_body += there;
        at = begin + length + 2;
    }
    return false;
}

/* Splits what came so far; true where the answer is whole. */
static bool split(struct reply *reply, const char *bytes, size_t n)
{
    const char *const blank = memmem(bytes, n, "\r\n\r\n", 4);
    if (blank == NULL) return false;
    const size_t n_head = (size_t)(blank - bytes) + 4, n_rest = n - n_head;
    free(reply->head);
    free(reply->body);
    reply->head = strndup(bytes, n_head);
    reply->body = calloc(n_rest + 1, 1);
    assert_non_null(reply->head);
    assert_non_null(reply->body);
    reply->status = (int)strtol(reply->head + 9, NULL, 10);
    bool is_whole = true;
    const char *const length = strcasestr(reply->head, "content-length:");
    if (strcasestr(reply->head, "transfer-encoding: chunked") != NULL) {
        is_whole = join_chunks(bytes + n_head, n_rest, reply->body, &reply->n_body);
    } else {
        memcpy(reply->body, bytes + n_head, n_rest);
        reply->n_body = n_rest;
        if (length != NULL) is_whole = n_rest >= strtoul(length + 15, NULL, 10);
    }
    reply->body[reply->n_body] = '\0';
    return is_whole;
}

struct reply client_read(int fd, const char *until)
{
    struct reply reply = {.status = 0};
    char        *bytes = NULL;
    size_t       n = 0, capacity = 0;
    while (!reply.is_whole && grow(&bytes, n, &capacity)) {
        const ssize_t more = read(fd, bytes + n, capacity - n - 1);
        if (more <= 0) break;
        n += (size_t)more;
        reply.is_whole = split(&reply, bytes, n);
        if (until != NULL && reply.body != NULL && strstr(reply.body, until) != NULL) break;
    }
    free(bytes);
    return reply;
}

struct reply client_ask(const struct serving *serving, const char *path, const char *body)
{
    const int fd = client_open(serving, 0);
    client_send(fd, path, "", body);
    const struct reply reply = client_read(fd, NULL);
    (void)close(fd);
    return reply;
}

void reply_free(struct reply *reply)
{
    free(reply->head);
    free(reply->body);
    *reply = (struct reply){.status = 0};
}

/* ---- texts ---- */

bool fits(const char *text, const char *pattern)
{
    const char *star = NULL, *tried = NULL;
    while (*text != '\0') {
        if (*pattern == '*') {
            star  = pattern++;
            tried = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star + 1;
            text    = ++tried;
        } else return false;
    }
    while (*pattern == '*') pattern++;
    return *pattern == '\0';
}

void assert_fits_at(const char *text, const char *pattern, const char *file, int line)
{
    if (text != NULL && fits(text, pattern)) return;
    fprintf(stderr, "%s:%d:\n   found  %s\n   wanted %s\n", file, line, text != NULL ? text : "nothing", pattern);
    fail();
}

void client_expect(const struct serving *serving, const char *path, const char *body, int status, const char *pattern)
{
    struct reply reply = client_ask(serving, path, body);
    if (reply.status != status) fprintf(stderr, "%s %s\n   %s\n", path, body ? body : "", reply.body);
    assert_int_equal(reply.status, status);
    assert_fits(reply.body, pattern);
    reply_free(&reply);
}

/* The text that begins after the next `"name":"` in *at, which moves behind it. */
static const char *next_text(const char **at, const char *name, size_t *n)
{
    char mark[100];
    (void)snprintf(mark, sizeof mark, "\"%s\":\"", name);
    const char *begin = strstr(*at, mark);
    if (begin == NULL) return NULL;
    begin += strlen(mark);
    const char *end = begin;
    while (*end != '\0' && *end != '"') end += *end == '\\' && end[1] != '\0' ? 2 : 1;
    *n  = (size_t)(end - begin);
    *at = end;
    return begin;
}

char *json_text(const char *json, const char *name)
{
    size_t            n = 0;
    const char *const begin = next_text(&json, name, &n);
    return begin != NULL ? strndup(begin, n) : NULL;
}

char *json_texts(const char *json, const char *name)
{
    char  *all = calloc(strlen(json) + 1, 1);
    size_t length = 0, n = 0;
    assert_non_null(all);
    for (const char *text; (text = next_text(&json, name, &n)) != NULL; length += n) memcpy(all + length, text, n);
    return all;
}

void wait_until_idle(const struct serving *serving)
{
    const double until = seconds_now() + WAIT_SECONDS;
    bool         is_idle = false;
    while (!is_idle && seconds_now() < until) {
        struct reply reply = client_ask(serving, "/slots", NULL);
        is_idle = reply.status == 200 && strstr(reply.body, "\"is_processing\":true") == NULL;
        reply_free(&reply);
        if (!is_idle) sleep_milliseconds(10);
    }
    assert_true(is_idle);
}

char *long_text(int n_words, int seed)
{
    static const char *const words[] = {"the", "file", "of", "a", "value", "returns", "and", "list", "is", "name"};
    char    *text = calloc((size_t)n_words * 8 + 1, 1);
    unsigned state = (unsigned)seed * 2654435761u + 1;
    assert_non_null(text);
    for (int i = 0, n = 0; i < n_words; i++) {
        state = state * 1664525u + 1013904223u;
        n += snprintf(text + n, 9, "%s ", words[(state >> 16) % 10]);
    }
    return text;
}
