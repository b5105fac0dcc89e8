/* tools/context_file.c - see context_file.h. */
#include "tools/context_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/chat_history.h"

/* ---- making a context ---- */

/* The prompt of a conversation with the text, in which the user says so. */
static calmoe_status open_prompt(const struct front *front, const struct bytes *text, const char *said,
                                 calmoe_chat_prompt **prompt)
{
    struct json_output json = {0};
    calmoe_status      status = CALMOE_NO_MEMORY;
    cm_json_open_object(&json);
    struct json_node *const messages = cm_json_array(&json, json.root, "messages");
    struct json_node *const system = cm_json_object(&json, messages, NULL);
    cm_json_text(&json, system, "role", "system");
    cm_json_bytes(&json, system, "content", text->n > 0 ? text->at : "", text->n);
    struct json_node *const user = cm_json_object(&json, messages, NULL);
    cm_json_text(&json, user, "role", "user");
    cm_json_text(&json, user, "content", said);
    char *const page = cm_json_page_text(&json);
    if (page != NULL)
        status = calmoe_chat_prompt_open(front->context, front->model, page, strlen(page), NULL, prompt);
    cm_json_close(&json);
    free(page);
    return status;
}

/* The tokens with which all conversations with the text begin, whatever the user says first. */
static calmoe_status feed_system(const struct front *front, calmoe_session *session, const struct bytes *text)
{
    calmoe_chat_prompt *one = NULL, *other = NULL;
    size_t              n_one = 0, n_other = 0, n = 0;
    calmoe_status       status = open_prompt(front, text, "a", &one);
    if (status == CALMOE_OK) status = open_prompt(front, text, "Q?", &other);
    if (status == CALMOE_OK) {
        const int32_t *const tokens = calmoe_chat_prompt_tokens(one, &n_one);
        const int32_t *const others = calmoe_chat_prompt_tokens(other, &n_other);
        const int64_t        turn = calmoe_chat_prompt_turn_begin(one);
        while (n < n_one && n < n_other && tokens[n] == others[n] && (turn <= 0 || n < (size_t)turn)) n++;
        status = calmoe_session_feed_tokens(session, tokens, n);
    }
    calmoe_chat_prompt_close(&one);
    calmoe_chat_prompt_close(&other);
    return status;
}

bool cm_context_feed(const struct front *front, calmoe_session *session, const char *name, const struct bytes *text,
                     bool is_system, unsigned flags)
{
    const calmoe_source source = {.size = sizeof source, .name = name, .text = text->n > 0 ? text->at : "",
                                  .n_bytes = text->n, .is_system = is_system};
    return cm_front_succeeded(front, calmoe_session_set_source(session, &source)) &&
           cm_front_succeeded(front, is_system ? feed_system(front, session, text)
                                               : calmoe_session_feed_text(session, source.text, text->n, flags));
}

/* ---- using a context ---- */

/* A text that is not there any more may be elsewhere; but if it is there and differs, the context is out of date. */
static void say_source(const char *path, const calmoe_source *source, int n_tokens)
{
    struct bytes now = {0};
    cm_say("context    %6d tokens of '%s', %zu bytes, SHA-256 %.16s…", n_tokens, source->name, source->n_bytes,
           source->sha256);
    if (strcmp(source->name, "-") != 0 && access(source->name, R_OK) == 0 && cm_bytes_read_file(&now, source->name) &&
        (now.n != source->n_bytes || (now.n > 0 && memcmp(now.at, source->text, now.n) != 0)))
        cm_say("'%s' has changed since '%s' was made of it", source->name, path);
    cm_bytes_close(&now);
}

bool cm_context_begin(struct generation *generation, const char *path, bool converses)
{
    calmoe_source       source = {.size = sizeof source};
    const calmoe_status status = calmoe_session_source(generation->session, &source);
    if (status == CALMOE_END) {
        cm_say("'%s' is a session, and no context: it does not know its text; --restore-session goes on from it", path);
        return false;
    }
    if (!cm_front_succeeded(generation->front, status)) return false;
    if (source.is_system && !converses) {
        cm_say("'%s' is a context for conversations: wanted --chat", path);
        return false;
    }
    if (!source.is_system && converses) {
        cm_say("'%s' is a context without turns: wanted no --chat, or one that calmoe context --chat made", path);
        return false;
    }
    say_source(path, &source, calmoe_session_n_tokens(generation->session));
    return !converses || cm_history_begin(generation->history, generation->session, source.text, source.n_bytes);
}

/* Answers one line of n bytes, which is followed by a NUL. */
static bool answer_line(struct generation *generation, char *line, bool converses, enum answer_end *end)
{
    calmoe_session *const context = generation->session;
    int                   n_tokens = 0;
    if (!cm_front_succeeded(generation->front, calmoe_session_fork(context, &generation->session))) {
        generation->session = context;
        return false;
    }
    if (converses) cm_history_reset(generation->history);
    const calmoe_status fed = converses ? cm_feed_turn(generation, NULL, line)
                                        : calmoe_session_feed_text(generation->session, line, strlen(line), 0);
    bool is_fine = cm_front_succeeded(generation->front, fed);
    if (is_fine) *end = cm_generate(generation, &n_tokens);
    is_fine = is_fine && *end != ANSWER_FAILED && cm_put("\n", 1);
    calmoe_session_close(&generation->session);
    generation->session = context;
    return is_fine;
}

bool cm_context_answer_lines(struct generation *generation, const char *path, bool converses, bool *was_interrupted)
{
    struct bytes text = {0};
    bool         is_fine = cm_bytes_read_file(&text, path) && cm_bytes_append(&text, "", 1);
    for (size_t at = 0, n; is_fine && at + 1 < text.n; at += n + 1) {
        char *const     line = text.at + at;
        enum answer_end end = ANSWER_ENDED;
        n = strcspn(line, "\n");
        if (n > 0 && line[n - 1] == '\r') line[n - 1] = '\0';
        line[n] = '\0';
        if (line[strspn(line, " \t")] == '\0') continue;
        is_fine = answer_line(generation, line, converses, &end);
        *was_interrupted = end == ANSWER_INTERRUPTED;
        if (*was_interrupted) break;
    }
    cm_bytes_close(&text);
    return is_fine;
}
