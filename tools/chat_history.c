/* tools/chat_history.c - see chat_history.h. */
#include "tools/chat_history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool cm_history_is_possible(const struct front *front)
{
    static const char   one[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"Qwhole\"}]}";
    calmoe_chat_prompt *prompt;
    const calmoe_status status = calmoe_chat_prompt_open(NULL, front->model, one, sizeof one - 1, NULL, &prompt);
    const bool is_said = status == CALMOE_OK && strstr(calmoe_chat_prompt_text(prompt, NULL), "Qwhole") != NULL;
    calmoe_chat_prompt_close(&prompt);
    return is_said;
}

/* Appends a message; thought may be NULL. */
static bool add_message(struct chat_history *history, const char *role, const char *content, size_t n_content,
                        const struct bytes *thought)
{
    struct json_output json = {0};
    cm_json_open_object(&json);
    cm_json_text(&json, json.root, "role", role);
    cm_json_bytes(&json, json.root, "content", content, n_content);
    if (thought != NULL && thought->n > 0)
        cm_json_bytes(&json, json.root, "reasoning_content", thought->at, thought->n);
    char      *text = cm_json_page_text(&json);
    const bool added = text != NULL && (history->messages.n == 0 || cm_bytes_append(&history->messages, ",", 1)) &&
                       cm_bytes_append(&history->messages, text, strlen(text));
    cm_json_close(&json);
    free(text);
    return added;
}

/* Opens the prompt of all messages. */
static calmoe_status open_prompt(struct chat_history *history, const struct front *front)
{
    static const char begin[] = "{\"messages\":[", end[] = "]}";
    struct bytes      text = {0};
    calmoe_status     status = CALMOE_NO_MEMORY;
    calmoe_chat_prompt_close(&history->prompt);
    if (cm_bytes_append(&text, begin, sizeof begin - 1) &&
        cm_bytes_append(&text, history->messages.at, history->messages.n) &&
        cm_bytes_append(&text, end, sizeof end - 1))
        status = calmoe_chat_prompt_open(front->context, front->model, text.at, text.n, NULL, &history->prompt);
    cm_bytes_close(&text);
    return status;
}

/* Takes the session back to where its tokens and the prompt differ, and feeds it the rest, at least one token. */
static calmoe_status feed_rest(struct chat_history *history, calmoe_session *session)
{
    size_t         n_tokens, n_same = 0;
    const int32_t *tokens = calmoe_chat_prompt_tokens(history->prompt, &n_tokens);
    const int32_t *known = (const int32_t *)(const void *)history->known.at;
    const size_t   n_held = (size_t)calmoe_session_n_tokens(session), n_listed = history->known.n / sizeof *known;
    const size_t   n_known = n_listed < n_held ? n_listed : n_held;
    while (n_same < n_known && n_same + 1 < n_tokens && known[n_same] == tokens[n_same]) n_same++;
    if (n_tokens > (size_t)calmoe_session_context(session)) return CALMOE_FULL;
    if (n_same < n_held) {
        const calmoe_status status = calmoe_session_rewind(session, (int)n_same);
        if (status != CALMOE_OK) return status;
    }
    history->known.n = 0;
    if (!cm_bytes_append(&history->known, tokens, n_tokens * sizeof *tokens)) return CALMOE_NO_MEMORY;
    return calmoe_session_feed_tokens(session, tokens + n_same, n_tokens - n_same);
}

calmoe_status cm_feed_turn(struct generation *generation, const char *system, const char *user)
{
    struct chat_history *history = generation->history;
    const size_t         n_system = system != NULL ? strlen(system) : 0;
    if (history == NULL) return calmoe_session_feed_chat(generation->session, system, user);
    generation->keeps = true;
    generation->ids.n = generation->text.n = 0;
    if (history->messages.n == 0 && system != NULL && !add_message(history, "system", system, n_system, NULL))
        return CALMOE_NO_MEMORY;
    history->n_before = history->messages.n;
    if (!add_message(history, "user", user, strlen(user), NULL)) return CALMOE_NO_MEMORY;
    calmoe_status status = open_prompt(history, generation->front);
    if (status == CALMOE_OK) status = feed_rest(history, generation->session);
    if (status != CALMOE_OK) cm_history_take_back(history);
    return status;
}

bool cm_history_begin(struct chat_history *history, const calmoe_session *session, const char *system, size_t n)
{
    const size_t n_bytes = (size_t)calmoe_session_n_tokens(session) * sizeof(int32_t);
    if (!add_message(history, "system", system, n, NULL) ||
        !cm_bytes_append(&history->known, calmoe_session_tokens(session), n_bytes))
        return false;
    history->n_fixed       = history->messages.n;
    history->n_fixed_known = n_bytes;
    return true;
}

int cm_history_reset(struct chat_history *history)
{
    history->messages.n = history->n_before = history->n_fixed;
    history->known.n    = history->n_fixed_known;
    return (int)(history->n_fixed_known / sizeof(int32_t));
}

struct heard {
    struct bytes text, thought;
    bool         failed;
};

static void hear(void *user, const calmoe_answer_event *event)
{
    struct heard *heard = user;
    struct bytes *to = event->kind == CALMOE_ANSWER_REASONING ? &heard->thought : &heard->text;
    if (event->kind == CALMOE_ANSWER_TEXT || event->kind == CALMOE_ANSWER_REASONING)
        heard->failed |= !cm_bytes_append(to, event->text, event->n_bytes);
}

/* The text of the answer's tokens; calls of tools are text here, since nobody answers them. */
static calmoe_status listen(struct chat_history *history, const struct generation *generation, struct heard *heard)
{
    const int32_t               *ids = (const int32_t *)(const void *)generation->ids.at;
    calmoe_answer_parser        *parser;
    calmoe_answer_parser_options options;
    calmoe_answer_parser_options_init(&options);
    options.on_event = hear;
    options.on_event_user = heard;
    options.no_calls = 1;
    calmoe_status status = calmoe_answer_parser_open(generation->front->context, generation->front->model,
                                                     history->prompt, &options, &parser);
    for (size_t i = 0; status == CALMOE_OK && i < generation->ids.n / sizeof *ids; i++)
        status = calmoe_answer_parser_put_token(parser, ids[i]);
    if (status == CALMOE_OK) status = calmoe_answer_parser_finish(parser);
    calmoe_answer_parser_close(&parser);
    return status;
}

bool cm_history_note_answer(struct chat_history *history, const struct generation *generation)
{
    struct heard heard = {{0}, {0}, false};
    bool         fine = cm_front_succeeded(generation->front, listen(history, generation, &heard)) && !heard.failed;
    fine = fine &&
           add_message(history, "assistant", heard.text.n > 0 ? heard.text.at : "", heard.text.n, &heard.thought) &&
           cm_bytes_append(&history->known, generation->ids.at, generation->ids.n);
    cm_bytes_close(&heard.text);
    cm_bytes_close(&heard.thought);
    return fine;
}

void cm_history_take_back(struct chat_history *history)
{
    history->messages.n = history->n_before;
}

void cm_history_close(struct chat_history *history)
{
    calmoe_chat_prompt_close(&history->prompt);
    cm_bytes_close(&history->messages);
    cm_bytes_close(&history->known);
    *history = (struct chat_history){.n_before = 0};
}
