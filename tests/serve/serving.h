/* tests/serve/serving.h - a `calmoe serve` of a test's own, and a client that speaks HTTP to it by plain sockets. */
#ifndef TESTS_SERVE_SERVING_H
#define TESTS_SERVE_SERVING_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The program, set from the first argument of the test; without it, or without the embedded model, the test is skipped
 * (77). */
void serving_begin(int argc, char **argv);

/* How long tests wait for what they are to see: only what is broken takes so long, also under a sanitizer on a machine
 * that is busy. */
enum { WAIT_SECONDS = 300 };

struct serving {
    pid_t pid;
    int   port;
};

/* Starts the server with these options after "serve --port 0", NULL behind the last, and waits until it serves. */
struct serving serving_start(const char *const *options);
/* SIGTERM; its exit status. Fails the test where it is not over after WAIT_SECONDS. */
int serving_stop(struct serving *serving);

struct reply {
    int    status;
    char  *head;   /* with the status line, NUL-terminated           */
    char  *body;   /* (n_body) without the marks of chunks, NUL-terminated */
    size_t n_body;
    bool   is_whole;
};
void reply_free(struct reply *reply);

/* A connection; with a small buffer for what comes, where wanted. */
int  client_open(const struct serving *serving, int receive_bytes);
/* POST with a JSON body, or GET without one (NULL); headers are lines that end with \r\n, or "". */
void client_send(int fd, const char *path, const char *headers, const char *body);
/* Reads until the answer is whole, the server ends it, or the body holds `until` (NULL: no such text). */
struct reply client_read(int fd, const char *until);
/* All of it, on a connection of its own. */
struct reply client_ask(const struct serving *serving, const char *path, const char *body);

/* Does the text fit the pattern, in which * is any text? */
bool fits(const char *text, const char *pattern);
/* Fails with both where it does not. */
#define assert_fits(text, pattern) assert_fits_at(text, pattern, __FILE__, __LINE__)
void assert_fits_at(const char *text, const char *pattern, const char *file, int line);
/* client_ask(), and fails where the answer has another status or does not fit the pattern. */
void client_expect(const struct serving *serving, const char *path, const char *body, int status, const char *pattern);

/* The text behind `"name":"`, up to the quote that ends it, still escaped; to be freed. NULL: it is not there. */
char *json_text(const char *json, const char *name);
/* All texts of that name one after the other: of a stream, the answer. */
char *json_texts(const char *json, const char *name);
/* Waits until no slot is at work; fails the test after WAIT_SECONDS. */
void wait_until_idle(const struct serving *serving);
/* "The more … " of about n words, so that prompts differ by seed and take long; to be freed. */
char *long_text(int n_words, int seed);

double seconds_now(void);
void   sleep_milliseconds(int n);

#endif
