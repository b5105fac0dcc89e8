/* tools/serve/http.c - see http.h. */
#include "tools/serve/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/front.h"

enum {
    HEADER_BYTES   = 64 * 1024, /* all headers of a request                                */
    STACK_BYTES    = 2048 * 1024, /* of a connection's thread: JSON may be nested 2048 levels deep */
    BLOCK_BYTES    = 32 * 1024, /* of a stream, written at a time                          */
    BACKLOG        = 1024, /* connections that may wait to be accepted; further ones are reset               */
    SEND_BYTES     = 256 * 1024, /* that the system buffers for a slow client              */
    MAX_DISCARDED  = 4 /* a body of unannounced length is read and discarded up to so many times the largest size */
};

struct http_server {
    struct MHD_Daemon  *daemon;
    struct http_options options;
    int                 port;
    atomic_int          n_answering;
};

struct http_exchange {
    struct http_server    *server;
    struct MHD_Connection *connection;
    struct bytes           body;
    size_t                 n_discarded; /* bytes of a body that is too large                    */
    bool                   is_refused;
    bool                   has_answered;
    enum MHD_Result        queued;      /* what MHD answered when the answer was handed over    */
    int                    n_headers;
    char                  *names[HTTP_MAX_HEADERS], *values[HTTP_MAX_HEADERS];
};

/* ---- the request ---- */

const char *cm_http_header(const struct http_exchange *exchange, const char *name)
{
    return MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, name);
}

const char *cm_http_query(const struct http_exchange *exchange, const char *name)
{
    return MHD_lookup_connection_value(exchange->connection, MHD_GET_ARGUMENT_KIND, name);
}

/* MHD notices that a client has left only when it writes, and that may be long after. A client that has closed its side
 * has sent everything it will send, so reading finds the end. Bytes that are there belong to the next request on the
 * connection. */
bool cm_http_client_left(const struct http_exchange *exchange)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info == NULL) return true;
    const bool    ends_half = exchange->server->options.half_close;
    struct pollfd look = {.fd = info->connect_fd, .events = (short)(ends_half ? 0 : POLLIN | POLLRDHUP)};
    if (poll(&look, 1, 0) <= 0) return false;
    if ((look.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) return true;
    if (ends_half) return false;
    char byte;
    return (look.revents & POLLRDHUP) != 0 || recv(look.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* ---- the answer ---- */

void cm_http_add_header(struct http_exchange *exchange, const char *name, const char *value)
{
    const int i = exchange->n_headers;
    if (i == HTTP_MAX_HEADERS) return;
    exchange->names[i]  = strdup(name);
    exchange->values[i] = strdup(value);
    exchange->n_headers++;
}

/* Takes ownership of the response; NULL: it could not be made. */
static void answer(struct http_exchange *exchange, int status, const char *content_type, struct MHD_Response *response)
{
    exchange->has_answered = true;
    exchange->queued       = MHD_NO;
    if (response == NULL) return;
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    for (int i = 0; i < exchange->n_headers; i++)
        if (exchange->names[i] != NULL && exchange->values[i] != NULL)
            (void)MHD_add_response_header(response, exchange->names[i], exchange->values[i]);
    exchange->queued = MHD_queue_response(exchange->connection, (unsigned)status, response);
    MHD_destroy_response(response);
}

void cm_http_answer(struct http_exchange *exchange, int status, const char *content_type, const char *bytes, size_t n)
{
    /* MHD copies the texts and does not write to them; its parameter just lacks const. */
    union { const char *from; void *to; } plain = {.from = n > 0 ? bytes : ""};
    answer(exchange, status, content_type, MHD_create_response_from_buffer(n, plain.to, MHD_RESPMEM_MUST_COPY));
}

struct open_stream {
    struct http_stream    from;
    struct http_exchange *exchange;
};

/* A client of HTTP/1.0 takes the end of the connection for the end of the answer, so an incomplete answer must end with
 * a reset. Linux resets a socket that is connected to AF_UNSPEC. */
static void reset(const struct http_exchange *exchange)
{
    const struct sockaddr           nowhere = {.sa_family = AF_UNSPEC};
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info != NULL) (void)connect(info->connect_fd, &nowhere, sizeof nowhere);
}

static void set_patience(const struct http_exchange *exchange, int seconds)
{
    (void)MHD_set_connection_option(exchange->connection, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)seconds);
}

/* The timeout is for a client that does not take what it is sent, not for a stream that has nothing to send yet: MHD
 * would close that connection in the middle of the answer. */
static ssize_t read_stream(void *user, uint64_t position, char *bytes, size_t capacity)
{
    const struct open_stream *const stream = user;
    (void)position;
    set_patience(stream->exchange, 0);
    const long n = stream->from.read(stream->from.user, bytes, capacity);
    set_patience(stream->exchange, stream->exchange->server->options.idle_seconds);
    if (n == HTTP_STREAM_END) return MHD_CONTENT_READER_END_OF_STREAM;
    if (n < 0) reset(stream->exchange);
    return n < 0 ? MHD_CONTENT_READER_END_WITH_ERROR : n;
}

static void close_stream(void *user)
{
    struct open_stream *const stream = user;
    stream->from.close(stream->from.user);
    free(stream);
}

void cm_http_stream(struct http_exchange *exchange, const char *content_type, const struct http_stream *stream)
{
    struct open_stream  *open = malloc(sizeof *open);
    struct MHD_Response *response = NULL;
    if (open != NULL) {
        *open    = (struct open_stream){*stream, exchange};
        response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_stream, open, close_stream);
    }
    if (response == NULL) {
        free(open);
        stream->close(stream->user);
    }
    cm_http_add_header(exchange, "Cache-Control", "no-cache");
    cm_http_add_header(exchange, "X-Accel-Buffering", "no"); /* nginx passes pieces on as they come */
    answer(exchange, MHD_HTTP_OK, content_type, response);
}

/* ---- MHD's callbacks ---- */

static bool declares_too_much(const struct http_exchange *exchange)
{
    const char *text = cm_http_header(exchange, MHD_HTTP_HEADER_CONTENT_LENGTH);
    char       *end  = NULL;
    if (text == NULL) return false;
    errno = 0;
    const unsigned long long n = strtoull(text, &end, 10);
    return errno != 0 || n > exchange->server->options.max_body;
}

static enum MHD_Result refuse(struct http_exchange *exchange)
{
    const struct http_options *const options = &exchange->server->options;
    exchange->is_refused = true;
    options->refuse(options->user, exchange, HTTP_BODY_TOO_LARGE);
    return exchange->queued;
}

static enum MHD_Result begin(struct http_server *server, struct MHD_Connection *connection, void **state)
{
    struct http_exchange *exchange = calloc(1, sizeof *exchange);
    if (exchange == NULL) return MHD_NO;
    exchange->server     = server;
    exchange->connection = connection;
    atomic_fetch_add(&server->n_answering, 1);
    *state               = exchange;
    return declares_too_much(exchange) ? refuse(exchange) : MHD_YES;
}

/* A body of unannounced length that turns out to be too large is read to its end, so that the client reads the answer;
 * but not without limit. */
static enum MHD_Result take_body(struct http_exchange *exchange, const char *bytes, size_t *n)
{
    const size_t max = exchange->server->options.max_body;
    if (exchange->n_discarded > 0 || *n > max - exchange->body.n) exchange->n_discarded += *n;
    else if (!cm_bytes_append(&exchange->body, bytes, *n)) return MHD_NO;
    *n = 0;
    return exchange->n_discarded / MAX_DISCARDED > max ? MHD_NO : MHD_YES;
}

static enum MHD_Result handle(void *user, struct MHD_Connection *connection, const char *path, const char *method,
                              const char *version, const char *bytes, size_t *n_bytes, void **state)
{
    struct http_server *const   server   = user;
    struct http_exchange *const exchange = *state;
    (void)version;
    if (exchange == NULL) return begin(server, connection, state);
    if (*n_bytes > 0) return take_body(exchange, bytes, n_bytes);
    if (exchange->has_answered) return MHD_YES;
    if (exchange->n_discarded > 0) return refuse(exchange);
    const struct http_request request = {.method = method, .path = path,
                                         .body = exchange->body.n > 0 ? exchange->body.at : "",
                                         .n_body = exchange->body.n};
    /* A handler may take longer than a connection may be idle; sending its answer may not. */
    set_patience(exchange, 0);
    server->options.handle(server->options.user, exchange, &request);
    set_patience(exchange, server->options.idle_seconds);
    return exchange->has_answered ? exchange->queued : MHD_NO;
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *const at = c != '\0' ? strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

/* Decodes %XX in a path or parameter, in place; returns the new length. "%00" stays as it is: a NUL would end the text,
 * so that "/%00" would mean "/". */
static size_t unescape(void *user, struct MHD_Connection *connection, char *text)
{
    char *to = text;
    (void)user;
    (void)connection;
    for (const char *from = text; *from != '\0'; to++) {
        const int high = *from == '%' ? hex_digit(from[1]) : -1, low = high >= 0 ? hex_digit(from[2]) : -1;
        *to = low >= 0 && high + low > 0 ? (char)(high * 16 + low) : *from;
        from += low >= 0 && high + low > 0 ? 3 : 1;
    }
    *to = '\0';
    return (size_t)(to - text);
}

static void complete(void *user, struct MHD_Connection *connection, void **state,
                     enum MHD_RequestTerminationCode how)
{
    struct http_exchange *const exchange = *state;
    (void)user;
    (void)connection;
    (void)how;
    if (exchange == NULL) return;
    atomic_fetch_sub(&exchange->server->n_answering, 1);
    *state = NULL;
    for (int i = 0; i < exchange->n_headers; i++) {
        free(exchange->names[i]);
        free(exchange->values[i]);
    }
    cm_bytes_close(&exchange->body);
    free(exchange);
}

/* ---- listening ---- */

/* Opens a socket that listens at one of the addresses of the host's name; -1 after a sentence. */
static int listen_at(const char *host, int port)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo      *addresses = NULL;
    char                  service[16];
    int                   fd = -1, problem = 0;
    (void)snprintf(service, sizeof service, "%d", port);
    const int error = getaddrinfo(host, service, &hints, &addresses);
    if (error != 0) {
        cm_say("cannot listen on '%s': %s", host, gai_strerror(error));
        return -1;
    }
    for (const struct addrinfo *at = addresses; at != NULL && fd < 0; at = at->ai_next) {
        const int yes = 1, send_bytes = SEND_BYTES;
        fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
        if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
            setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof send_bytes) == 0 &&
            bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
            break;
        problem = errno;
        if (fd >= 0) (void)close(fd);
        fd = -1;
    }
    freeaddrinfo(addresses);
    if (fd < 0) cm_say("cannot listen on %s port %d: %s", host, port, strerror(problem));
    return fd;
}

static int port_of(int fd)
{
    union { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; } address;
    socklen_t n = sizeof address;
    if (getsockname(fd, &address.any, &n) != 0) return 0;
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

bool cm_http_open(const struct http_options *options, struct http_server **out)
{
    struct http_server *server = calloc(1, sizeof *server);
    *out                       = NULL;
    const int fd = server != NULL ? listen_at(options->host, options->port) : -1;
    if (fd < 0) {
        free(server);
        return false;
    }
    server->options = *options;
    server->port    = port_of(fd);
    server->daemon  = MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_ITC, 0, NULL, NULL, handle, server,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)options->max_connections,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADER_BYTES, MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_BYTES,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)options->idle_seconds, MHD_OPTION_NOTIFY_COMPLETED, complete, server,
        MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL, MHD_OPTION_END);
    if (server->daemon == NULL) {
        cm_say("cannot start the HTTP server on %s port %d", options->host, server->port);
        (void)close(fd);
        free(server);
        return false;
    }
    *out = server;
    return true;
}

int cm_http_n_answering(struct http_server *server) { return atomic_load(&server->n_answering); }
int cm_http_port(const struct http_server *server) { return server->port; }

void cm_http_stop_listening(struct http_server *server)
{
    const MHD_socket fd = MHD_quiesce_daemon(server->daemon);
    if (fd != MHD_INVALID_SOCKET) (void)close(fd);
}

void cm_http_close(struct http_server **server)
{
    if (*server == NULL) return;
    MHD_stop_daemon((*server)->daemon);
    free(*server);
    *server = NULL;
}
