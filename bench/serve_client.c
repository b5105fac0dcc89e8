/* bench/serve_client.c - one request to a server, timed piece by piece; see serve_bench.h. Only this file of bench/
 * uses sockets. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/serve_bench.h"

enum { TIMEOUT_SECONDS = 600, MAX_LINE = 1 << 20 };

bool cm_serve_url_read(const char *command, const char *text, struct serve_url *out)
{
    const char  *host = strncmp(text, "http://", 7) == 0 ? text + 7 : NULL;
    const size_t n = host == NULL ? 0 : host[0] == '[' ? strcspn(host, "]") : strcspn(host, ":/");
    const bool   is_v6 = n > 0 && host[0] == '[' && host[n] == ']';
    if (n == 0 || n >= sizeof out->host) {
        (void)cm_usage_error(command, "option '--serve' wants http://HOST:PORT, found '%s'", text);
        return false;
    }
    const char  *at = host + n + is_v6;
    const size_t n_port = *at == ':' ? strcspn(at + 1, "/") : 0;
    (void)snprintf(out->host, sizeof out->host, "%.*s", (int)n - is_v6, host + is_v6);
    (void)snprintf(out->port, sizeof out->port, "%.*s", n_port > 0 ? (int)n_port : 2, n_port > 0 ? at + 1 : "80");
    at += n_port > 0 ? n_port + 1 : 0;
    (void)snprintf(out->prefix, sizeof out->prefix, "%s", at);
    size_t end = strlen(out->prefix);
    while (end > 0 && out->prefix[end - 1] == '/') out->prefix[--end] = '\0';
    if (end >= 3 && strcmp(out->prefix + end - 3, "/v1") == 0) out->prefix[end - 3] = '\0';
    return true;
}

/* ---- a connection, read line by line ---- */

struct connection {
    int    fd;
    char   bytes[16384];
    size_t at, n;
};

static int connect_to(const struct serve_url *url, char *problem, size_t n_problem)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    const struct timeval  patience = {.tv_sec = TIMEOUT_SECONDS};
    struct addrinfo      *addresses = NULL;
    int                   fd = -1, why = 0;
    const int             yes = 1, error = getaddrinfo(url->host, url->port, &hints, &addresses);
    if (error != 0) {
        (void)snprintf(problem, n_problem, "'%s': %s", url->host, gai_strerror(error));
        return -1;
    }
    for (const struct addrinfo *to = addresses; to != NULL && fd < 0; to = to->ai_next) {
        fd = socket(to->ai_family, to->ai_socktype | SOCK_CLOEXEC, to->ai_protocol);
        if (fd >= 0 && connect(fd, to->ai_addr, to->ai_addrlen) == 0) break;
        why = errno;
        if (fd >= 0) (void)close(fd);
        fd = -1;
    }
    freeaddrinfo(addresses);
    if (fd < 0) {
        (void)snprintf(problem, n_problem, "cannot connect to %s port %s: %s", url->host, url->port, strerror(why));
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

static bool send_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        const ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        bytes += sent;
        n -= (size_t)sent;
    }
    return true;
}

/* The next line without its end. Lengths of chunks are on lines of their own, which do not look like events. False: the
 * connection has ended. */
static bool end_line(struct bytes *line)
{
    if (!cm_bytes_append(line, "", 1)) return false;
    line->n--;
    return true;
}

/* False at the end, or if the last line has no end; what there is of it is in `line`. */
static bool read_line(struct connection *connection, struct bytes *line)
{
    line->n = 0;
    for (;;) {
        if (connection->at == connection->n) {
            const ssize_t n = recv(connection->fd, connection->bytes, sizeof connection->bytes, 0);
            if (n <= 0) {
                if (!end_line(line)) line->n = 0;
                return false;
            }
            connection->at = 0;
            connection->n  = (size_t)n;
        }
        const char  *from = connection->bytes + connection->at;
        const size_t left = connection->n - connection->at;
        const char  *end = memchr(from, '\n', left);
        const size_t n = end != NULL ? (size_t)(end - from) : left;
        connection->at += n + (end != NULL);
        if (line->n + n > MAX_LINE || !cm_bytes_append(line, from, n)) {
            line->n = 0;
            return false;
        }
        if (end == NULL) continue;
        if (line->n > 0 && line->at[line->n - 1] == '\r') line->n--;
        return end_line(line);
    }
}

/* Sends a request and reads the status line and headers of the answer. Returns the status; 0, and the problem
 * filled. */
static int ask(struct connection *connection, const struct serve_url *url, const char *path, const char *body,
               struct bytes *line, char *problem, size_t n_problem)
{
    char              head[2048];
    const char *const key = getenv("OPENAI_API_KEY");
    int               n, status = 0;
    connection->fd = connect_to(url, problem, n_problem);
    if (connection->fd < 0) return 0;
    n = snprintf(head, sizeof head,
                 "%s %s%s HTTP/1.1\r\nHost: %s:%s\r\nConnection: close\r\nContent-Type: application/json\r\n"
                 "Content-Length: %zu\r\n%s%s%s\r\n", body[0] != '\0' ? "POST" : "GET", url->prefix, path, url->host,
                 url->port, strlen(body), key != NULL ? "Authorization: Bearer " : "", key != NULL ? key : "",
                 key != NULL ? "\r\n" : "");
    (void)snprintf(problem, n_problem, "the connection ended");
    if (n < 0 || (size_t)n >= sizeof head || !send_all(connection->fd, head, (size_t)n) ||
        !send_all(connection->fd, body, strlen(body)) || !read_line(connection, line))
        return 0;
    if (strncmp(line->at, "HTTP/1.", 7) == 0 && line->n > 9) status = (int)strtol(line->at + 9, NULL, 10);
    while (read_line(connection, line))
        if (line->n == 0) return status;
    return 0;
}

/* ---- the little JSON that must be understood ---- */

/* The text after `"name":` and blanks, or NULL. */
static const char *find_member(const char *json, const char *name)
{
    char mark[64];
    (void)snprintf(mark, sizeof mark, "\"%s\"", name);
    const char *at = strstr(json, mark);
    if (at == NULL) return NULL;
    at += strlen(mark);
    at += strspn(at, " ");
    if (*at != ':') return NULL;
    return at + 1 + strspn(at + 1, " ");
}

static bool has_text(const char *json)
{
    const char *at = find_member(json, "text");
    if (at == NULL) at = find_member(json, "content");
    return at != NULL && at[0] == '"' && at[1] != '"';
}

static void read_count(const char *json, const char *name, int *count)
{
    const char *const at = find_member(json, name);
    if (at != NULL) *count = (int)strtol(at, NULL, 10);
}

/* ---- requests ---- */

bool cm_serve_model(const struct serve_url *url, char *name, size_t n_name)
{
    struct connection connection = {.fd = -1};
    struct bytes      line = {0};
    char              problem[400];
    const int         status = ask(&connection, url, "/v1/models", "", &line, problem, sizeof problem);
    name[0]                  = '\0';
    while (status == 200 && name[0] == '\0' && read_line(&connection, &line)) {
        const char *const at = find_member(line.at, "id");
        if (at != NULL && at[0] == '"') (void)snprintf(name, n_name, "%.*s", (int)strcspn(at + 1, "\"\\"), at + 1);
    }
    if (connection.fd >= 0) (void)close(connection.fd);
    cm_bytes_close(&line);
    if (status == 0) cm_say("%s", problem);
    return status != 0;
}

static bool read_stream(struct connection *connection, struct bytes *line, double begin, struct serve_answer *answer,
                        char *problem, size_t n_problem)
{
    int    n_pieces = 0;
    double last = begin;
    while (read_line(connection, line)) {
        const double now = cm_seconds();
        if (strncmp(line->at, "data: ", 6) != 0) continue;
        if (strcmp(line->at, "data: [DONE]") == 0) break;
        if (find_member(line->at, "error") != NULL) {
            (void)snprintf(problem, n_problem, "%s", line->at + 6);
            return false;
        }
        read_count(line->at, "prompt_tokens", &answer->n_prompt_tokens);
        read_count(line->at, "completion_tokens", &answer->n_tokens);
        if (!has_text(line->at)) continue;
        if (n_pieces == 0) answer->first = now - begin;
        else if (answer->n_gaps < BENCH_MAX_BATCH) answer->gaps[answer->n_gaps++] = now - last;
        last = now;
        n_pieces++;
    }
    if (answer->n_tokens == 0) answer->n_tokens = n_pieces;
    answer->whole = last - begin;
    if (n_pieces == 0) (void)snprintf(problem, n_problem, "the server sent no text");
    return n_pieces > 0;
}

bool cm_serve_request(const struct serve_url *url, const char *model, const char *prompt, int n_tokens,
                      struct serve_answer *answer, char *problem, size_t n_problem)
{
    struct connection *connection = calloc(1, sizeof *connection);
    struct bytes       line = {0};
    const size_t       n_body = strlen(prompt) + strlen(model) + 300;
    char *const        body = malloc(n_body);
    bool               is_fine = connection != NULL && body != NULL;
    memset(answer, 0, sizeof *answer);
    (void)snprintf(problem, n_problem, "no memory");
    if (is_fine) {
        connection->fd = -1;
        (void)snprintf(body, n_body, "{\"model\":\"%s\",\"prompt\":\"%s\",\"max_tokens\":%d,\"temperature\":0,"
                                     "\"ignore_eos\":true,\"stream\":true,\"stream_options\":{\"include_usage\":true}}",
                       model, prompt, n_tokens);
        const double begin = cm_seconds();
        const int    status = ask(connection, url, "/v1/completions", body, &line, problem, n_problem);
        if (status != 0 && status != 200) {
            while (read_line(connection, &line) && strchr(line.at, '{') == NULL) {}
            (void)snprintf(problem, n_problem, "status %d: %s", status, line.n > 0 ? line.at : "");
        }
        is_fine = status == 200 && read_stream(connection, &line, begin, answer, problem, n_problem);
    }
    if (connection != NULL && connection->fd >= 0) (void)close(connection->fd);
    cm_bytes_close(&line);
    free(connection);
    free(body);
    return is_fine;
}
