/* tools/serve/routes.c - which endpoint a request is for, and whether it may come in: keys, hosts, pages of others. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "tools/serve/server.h"

enum { PUBLIC = 0, NEEDS_KEY = 1, HAS_TYPES = 2 /* its errors have Anthropic's form */ };

static void serve_nothing(struct server *server, struct http_exchange *exchange, const struct http_request *request)
{
    (void)server;
    (void)request;
    cm_http_answer(exchange, 204, "text/plain", "", 0);
}

static const struct route {
    const char *method, *path; /* a path without /v1 also serves the path with it */
    int         flags;
    endpoint_fn serve;
} routes[] = {
    {"POST", "/chat/completions", NEEDS_KEY, cm_serve_chat},
    {"POST", "/completions", NEEDS_KEY, cm_serve_completions},
    {"POST", "/completion", NEEDS_KEY, cm_serve_completion},
    {"POST", "/messages", NEEDS_KEY | HAS_TYPES, cm_serve_messages},
    {"POST", "/messages/count_tokens", NEEDS_KEY | HAS_TYPES, cm_serve_count_tokens},
    {"POST", "/responses", NEEDS_KEY, cm_serve_responses},
    {"GET", "/models", PUBLIC, cm_serve_models},
    {"GET", "/models/", PUBLIC, cm_serve_model},
    {"GET", "/health", PUBLIC, cm_serve_health},
    {"POST", "/tokenize", NEEDS_KEY, cm_serve_tokenize},
    {"POST", "/detokenize", NEEDS_KEY, cm_serve_detokenize},
    {"GET", "/tokenizer_info", NEEDS_KEY, cm_serve_tokenizer_info},
    {"POST", "/apply-template", NEEDS_KEY, cm_serve_template},
    {"GET", "/props", NEEDS_KEY, cm_serve_props},
    {"GET", "/slots", NEEDS_KEY, cm_serve_slots},
    {"POST", "/slots", NEEDS_KEY, cm_serve_slots},
    {"GET", "/lora-adapters", NEEDS_KEY, cm_serve_adapters},
    {"POST", "/lora-adapters", NEEDS_KEY, cm_serve_adapters},
    {"GET", "/metrics", NEEDS_KEY, cm_serve_metrics},
    {"GET", "/calmoe/state", NEEDS_KEY, cm_serve_state},
    {"GET", "/", PUBLIC, cm_serve_page},
};

/* ---- is the request allowed? ---- */

/* Compares keys in constant time, wherever they differ. */
static bool same_key(const char *key, const char *given)
{
    const size_t  n = strlen(key), n_given = strlen(given);
    unsigned char differ = n != n_given;
    for (size_t i = 0; i < n_given; i++) differ |= (unsigned char)(given[i] ^ (n > 0 ? key[i % n] : 0));
    return differ == 0;
}

static bool has_key(const struct server *server, const struct http_exchange *exchange)
{
    const char *bearer = cm_http_header(exchange, "Authorization"), *plain = cm_http_header(exchange, "X-Api-Key");
    bool        fits = server->keys.n == 0;
    if (bearer != NULL && strncasecmp(bearer, "Bearer ", 7) == 0) bearer += 7;
    for (int i = 0; i < server->keys.n; i++) {
        fits |= bearer != NULL && same_key(server->keys.at[i], bearer);
        fits |= plain != NULL && same_key(server->keys.at[i], plain);
    }
    return fits;
}

static bool is_among(const struct text_list *list, const char *text, size_t n)
{
    for (int i = 0; i < list->n; i++)
        if (strcmp(list->at[i], "*") == 0 || (strlen(list->at[i]) == n && strncasecmp(list->at[i], text, n) == 0))
            return true;
    return false;
}

/* Defends against DNS rebinding: a web page can make its own host name point to this machine and then send requests as
 * if they were ours, but these carry that name. An address cannot be redirected in this way. */
static bool is_called_right(const struct server *server, const char *host)
{
    if (host == NULL || host[0] == '[') return true; /* HTTP/1.0; an address of IPv6 */
    const size_t n = strcspn(host, ":");
    bool         is_address = n > 0;
    for (size_t i = 0; i < n; i++) is_address = is_address && (isdigit((unsigned char)host[i]) || host[i] == '.');
    const bool is_local = (n == 9 && strncasecmp(host, "localhost", 9) == 0) ||
                          (n > 10 && strncasecmp(host + n - 10, ".localhost", 10) == 0);
    return is_address || is_local || is_among(&server->hosts, host, n);
}

/* Pages of all sites may read answers, but only those that were named may send credentials that the browser keeps for
 * us. */
static void allow_origin(const struct server *server, struct http_exchange *exchange)
{
    const char *const origin = cm_http_header(exchange, "Origin");
    const bool        is_named = origin != NULL && is_among(&server->origins, origin, strlen(origin));
    if (origin == NULL || (server->origins.n > 0 && !is_named)) return;
    cm_http_add_header(exchange, "Access-Control-Allow-Origin", origin);
    cm_http_add_header(exchange, "Vary", "Origin");
    cm_http_add_header(exchange, "Access-Control-Allow-Methods", "GET, POST");
    cm_http_add_header(exchange, "Access-Control-Allow-Headers", "*, Authorization, Content-Type, X-Api-Key");
    if (is_named) cm_http_add_header(exchange, "Access-Control-Allow-Credentials", "true");
}

/* ---- which endpoint? ---- */

/* Whether the path belongs to the route, with or without /v1 before it; for slots and models a name follows. */
static bool is_path(const char *path, const char *wanted)
{
    if (strncmp(path, "/v1/", 4) == 0 && strcmp(wanted, "/") != 0) path += 3;
    const size_t n = strlen(wanted);
    if (strcmp(wanted, "/slots") == 0 && strncmp(path, "/slots/", 7) == 0) return true;
    return strncmp(path, wanted, n) == 0 && (path[n] == '\0') != (n > 1 && wanted[n - 1] == '/');
}

/* What stands between the request and its endpoint; found is that, or NULL: the path is asked by other methods. */
static bool may_enter(const struct server *server, struct http_exchange *exchange, const struct http_request *request,
                      const struct route *found, const char *methods, struct refusal *refusal)
{
    const char *const coding = cm_http_header(exchange, "Content-Encoding");
    if (found == NULL && methods[0] == '\0')
        return cm_refuse(refusal, 404, NULL, "there is no '%.100s' here", request->path);
    if (found == NULL) {
        cm_http_add_header(exchange, "Allow", methods);
        return cm_refuse(refusal, 405, NULL, "'%.100s' is not asked by %.20s", request->path, request->method);
    }
    if ((found->flags & NEEDS_KEY) != 0 && !has_key(server, exchange))
        return cm_refuse(refusal, 401, NULL, "Invalid API Key");
    if (coding != NULL && strcasecmp(coding, "identity") != 0)
        return cm_refuse(refusal, 415, NULL, "the body is coded as '%.40s', which is not read: it is wanted as it is",
                         coding);
    return true;
}

/* A client that takes us for a proxy sends a whole URL. */
static const char *path_in(const char *address)
{
    if (strncasecmp(address, "http://", 7) != 0) return address;
    const char *const path = strchr(address + 7, '/');
    return path != NULL ? path : "/";
}

void cm_route(void *user, struct http_exchange *exchange, const struct http_request *sent)
{
    struct server *const server = user;
    struct http_request  request = *sent;
    struct refusal       refusal = {0};
    const struct route  *found = NULL, *any = NULL;
    char                 methods[64] = "";
    request.path = path_in(sent->path);
    if (sent->n_body >= 3 && memcmp(sent->body, "\xEF\xBB\xBF", 3) == 0) { /* a byte order mark */
        request.body += 3;
        request.n_body -= 3;
    }
    allow_origin(server, exchange);
    if (!is_called_right(server, cm_http_header(exchange, "Host"))) {
        (void)cm_refuse(&refusal, 403, NULL, "the request is for host '%.100s', which this server is not known by; "
                                             "--allow-host lets it in", cm_http_header(exchange, "Host"));
        cm_reply_refusal(exchange, &refusal);
        return;
    }
    if (strcmp(request.method, "OPTIONS") == 0) {
        serve_nothing(server, exchange, &request);
        return;
    }
    for (size_t i = 0; i < sizeof routes / sizeof routes[0] && found == NULL; i++) {
        if (!is_path(request.path, routes[i].path)) continue;
        if (any != NULL) (void)strncat(methods, ", ", sizeof methods - strlen(methods) - 1);
        (void)strncat(methods, routes[i].method, sizeof methods - strlen(methods) - 1);
        any = &routes[i];
        const bool is_head = strcmp(request.method, "HEAD") == 0 && strcmp(routes[i].method, "GET") == 0;
        if (is_head || strcmp(request.method, routes[i].method) == 0) found = &routes[i];
    }
    if (may_enter(server, exchange, &request, found, methods, &refusal))
        found->serve(server, exchange, &request);
    else if (any != NULL && (any->flags & HAS_TYPES) != 0) cm_reply_typed_refusal(exchange, &refusal);
    else cm_reply_refusal(exchange, &refusal);
}

void cm_route_refusal(void *user, struct http_exchange *exchange, enum http_refusal why)
{
    struct refusal refusal = {0};
    (void)why;
    allow_origin(user, exchange);
    (void)cm_refuse(&refusal, 413, NULL, "the body of the request is too large; --max-body says how large it may be");
    cm_reply_refusal(exchange, &refusal);
}
