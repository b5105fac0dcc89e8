/* tools/serve/http.h - HTTP for the server, and the only door to libmicrohttpd.
 *
 * Each connection has a thread of its own, on which its requests are handled one after the other; a handler may wait.
 * A handler is called when the whole request is there, and answers once: with bytes, or with a stream. */
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

enum http_refusal { /* what is answered before the body was read */
    HTTP_BODY_TOO_LARGE
};

struct http_options {
    const char *host;             /* an address or a name of this machine          */
    int         port;             /* 0 = any that is free                          */
    size_t      max_body;         /* bytes                                         */
    int         max_connections;  /* at once                                       */
    int         idle_seconds;     /* after which a connection is closed on which nothing moves while no handler works */
    bool        half_close;       /* a client that ended its side of the connection still waits for the answer */
    void      (*handle)(void *user, struct http_exchange *exchange, const struct http_request *request);
    void      (*refuse)(void *user, struct http_exchange *exchange, enum http_refusal refusal);
    void       *user;
};

/* Begins to listen: from now on handlers are called. False with a sentence on stderr. */
bool cm_http_open(const struct http_options *options, struct http_server **out);
int  cm_http_port(const struct http_server *server);
/* Requests that wait for their answer or are getting it. */
int cm_http_n_answering(struct http_server *server);
/* Accepts no more connections; those that are there go on. */
void cm_http_stop_listening(struct http_server *server);
/* Waits until every handler and stream has ended. Sets *server to NULL; NULL is fine. */
void cm_http_close(struct http_server **server);

/* A header of the request, in any case, or NULL; a parameter of its query, decoded, or NULL. Borrowed. */
const char *cm_http_header(const struct http_exchange *exchange, const char *name);
const char *cm_http_query(const struct http_exchange *exchange, const char *name);

/* Has the client left? Says so as well when its last answer could not be written. */
bool cm_http_client_left(const struct http_exchange *exchange);

/* A header of the answer; texts are copied. At most HTTP_MAX_HEADERS of them. */
enum { HTTP_MAX_HEADERS = 16 };
void cm_http_add_header(struct http_exchange *exchange, const char *name, const char *value);

/* Answers with n bytes, which are copied. */
void cm_http_answer(struct http_exchange *exchange, int status, const char *content_type, const char *bytes, size_t n);

enum { HTTP_STREAM_END = -1, HTTP_STREAM_BROKEN = -2 };
struct http_stream {
    /* The next bytes, 1 to capacity of them; may wait as long as it likes. HTTP_STREAM_END: there are none;
     * HTTP_STREAM_BROKEN: the connection is reset, so that no client takes what it has for the whole. */
    long (*read)(void *user, char *bytes, size_t capacity);
    void (*close)(void *user); /* always called in the end, once */
    void  *user;
};
/* Answers with status 200 and what the stream gives, each piece as it comes. A client that takes nothing for
 * idle_seconds is cut off. */
void cm_http_stream(struct http_exchange *exchange, const char *content_type, const struct http_stream *stream);

#endif
