/* tools/serve/http.h - HTTP for the server. Only http.c uses libmicrohttpd.
 *
 * Each connection has its own thread, which handles the connection's requests one after the other; a handler may wait.
 * A handler is called when the whole request has arrived, and answers once: with bytes, or with a stream. */
#ifndef TOOLS_SERVE_HTTP_H
#define TOOLS_SERVE_HTTP_H

#include <stdbool.h>
#include <stddef.h>

struct http_server;   /* opaque */
struct http_exchange; /* one request and its answer; opaque */

struct http_request { /* borrowed until the exchange is over */
    const char *method; /* "GET", "POST", …               */
    const char *path;   /* without the query, decoded     */
    const char *body;   /* (n_body), never NULL           */
    size_t      n_body;
};

enum http_refusal { /* reasons to refuse a request before its body is read */
    HTTP_BODY_TOO_LARGE
};

struct http_options {
    const char *host;             /* an address or a name of this machine          */
    int         port;             /* 0 = any that is free                          */
    size_t      max_body;         /* largest body of a request, bytes              */
    int         max_connections;  /* most connections at a time                    */
    int         idle_seconds;     /* a connection on which nothing moves for so long, while no handler works, is
                                     closed                                                                           */
    bool        half_close;       /* a client that has closed its sending side still waits for the answer      */
    void      (*handle)(void *user, struct http_exchange *exchange, const struct http_request *request);
    void      (*refuse)(void *user, struct http_exchange *exchange, enum http_refusal refusal);
    void       *user;
};

/* Begins to listen; from now on handlers are called. False with a sentence on stderr. */
bool cm_http_open(const struct http_options *options, struct http_server **out);
int  cm_http_port(const struct http_server *server);
/* The number of requests that wait for their answer or are receiving it. */
int cm_http_n_answering(struct http_server *server);
/* Accepts no more connections; existing ones continue. */
void cm_http_stop_listening(struct http_server *server);
/* Waits until every handler and stream has ended. Sets *server to NULL; NULL is fine. */
void cm_http_close(struct http_server **server);

/* A header of the request, whose name may be in any letter case; a parameter of its query, decoded. NULL if there is
 * none. Borrowed. */
const char *cm_http_header(const struct http_exchange *exchange, const char *name);
const char *cm_http_query(const struct http_exchange *exchange, const char *name);

/* Whether the client has left; also true when its last answer could not be written. */
bool cm_http_client_left(const struct http_exchange *exchange);

/* Adds a header to the answer; the texts are copied. At most HTTP_MAX_HEADERS of them. */
enum { HTTP_MAX_HEADERS = 16 };
void cm_http_add_header(struct http_exchange *exchange, const char *name, const char *value);

/* Answers with n bytes, which are copied. */
void cm_http_answer(struct http_exchange *exchange, int status, const char *content_type, const char *bytes, size_t n);

enum { HTTP_STREAM_END = -1, HTTP_STREAM_BROKEN = -2 };
struct http_stream {
    /* Writes the next 1 to `capacity` bytes, and may wait for them as long as it likes. HTTP_STREAM_END: there are no
     * more. HTTP_STREAM_BROKEN: the connection is reset, so that no client mistakes what it has for the whole. */
    long (*read)(void *user, char *bytes, size_t capacity);
    void (*close)(void *user); /* always called once, in the end */
    void  *user;
};
/* Answers with status 200 and the stream's bytes, each piece as it comes. A client that takes nothing for idle_seconds
 * is cut off. */
void cm_http_stream(struct http_exchange *exchange, const char *content_type, const struct http_stream *stream);

#endif
