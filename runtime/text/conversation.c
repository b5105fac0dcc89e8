/* conversation.c - a conversation in JSON as what templates see of it, or as the text of a named chat format.
 *
 * All texts of the conversation are marked as its own. Two of them have marks by themselves: the last user's, by
 * which the beginning of that turn is found, and an answer's that is to go on, behind which the prompt ends. */
#include "runtime/text/conversation.h"

#include <string.h>

#include "runtime/text/template_parts.h"

/* ---- reading members ---- */

static bool has_text(const struct json_value *value, const char *text)
{
    size_t      n;
    const char *bytes = cm_json_bytes(value, &n);
    return cm_json_sort(value) == JSON_IS_TEXT && n == strlen(text) && !memcmp(bytes, text, n);
}

static calmoe_status need_sort(struct calmoe_context *ctx, const struct json_value *value, enum json_sort sort,
                               const char *wanted)
{
    const enum json_sort found = cm_json_sort(value);
    return found == sort || found == JSON_IS_ABSENT || found == JSON_IS_NULL ? CALMOE_OK
                                                                             : cm_json_wrong(ctx, value, wanted);
}

/* A member that is true or false, or the usual one where it is not there. */
static calmoe_status read_flag(struct calmoe_context *ctx, const struct json_value *root, const char *name, bool usual,
                               bool *out)
{
    const struct json_value value = cm_json_get(root, name);
    CM_TRY(need_sort(ctx, &value, JSON_IS_BOOL, "true or false"));
    *out = cm_json_sort(&value) == JSON_IS_BOOL ? cm_json_integer(&value) != 0 : usual;
    return CALMOE_OK;
}

static calmoe_status check_tools(struct calmoe_context *ctx, const struct json_value *root)
{
    const struct json_value tools = cm_json_get(root, "tools"), documents = cm_json_get(root, "documents");
    CM_TRY(need_sort(ctx, &tools, JSON_IS_ARRAY, "an array of tools"));
    CM_TRY(need_sort(ctx, &documents, JSON_IS_ARRAY, "an array of documents"));
    for (size_t i = 0; i < cm_json_length(&tools); i++) {
        const struct json_value tool = cm_json_element(&tools, i);
        if (!cm_json_is_object(&tool)) return cm_json_wrong(ctx, &tool, "an object");
        const struct json_value function = cm_json_get(&tool, "function");
        if (!function.json) continue; /* a tool of another kind, which templates may know */
        if (!cm_json_is_object(&function)) return cm_json_wrong(ctx, &function, "an object");
        const struct json_value name = cm_json_get(&function, "name");
        if (cm_json_sort(&name) != JSON_IS_TEXT) return cm_json_wrong(ctx, &name, "a text");
    }
    return CALMOE_OK;
}

static calmoe_status find_last_messages(struct calmoe_context *ctx, struct conversation *conversation)
{
    const size_t n = cm_json_length(&conversation->messages);
    conversation->last_user = SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        const struct json_value message = cm_json_element(&conversation->messages, i);
        if (!cm_json_is_object(&message)) return cm_json_wrong(ctx, &message, "an object");
        const struct json_value role = cm_json_get(&message, "role");
        if (cm_json_sort(&role) != JSON_IS_TEXT) return cm_json_wrong(ctx, &role, "a text");
        if (has_text(&role, "user")) conversation->last_user = i;
        if (conversation->goes_on && i == n - 1 && !has_text(&role, "assistant"))
            return cm_json_wrong(ctx, &role, "\"assistant\", since continue_final_message is true");
    }
    return CALMOE_OK;
}

calmoe_status cm_conversation_open(struct calmoe_context *ctx, const char *text, size_t n_bytes,
                                   struct conversation *out)
{
    memset(out, 0, sizeof *out);
    out->n_bytes = n_bytes;
    CM_TRY(cm_json_parse_argument(ctx, "the conversation", text, n_bytes, &out->document));
    out->root = cm_json_root(&out->document);
    if (!cm_json_is_object(&out->root)) return cm_json_wrong(ctx, &out->root, "an object");
    out->messages = cm_json_get(&out->root, "messages");
    if (cm_json_sort(&out->messages) != JSON_IS_ARRAY || cm_json_length(&out->messages) == 0)
        return cm_json_wrong(ctx, &out->messages, "an array of messages");
    CM_TRY(read_flag(ctx, &out->root, "continue_final_message", false, &out->goes_on));
    CM_TRY(read_flag(ctx, &out->root, "add_generation_prompt", !out->goes_on, &out->asks));
    if (out->goes_on) out->asks = false;
    CM_TRY(check_tools(ctx, &out->root));
    return find_last_messages(ctx, out);
}

void cm_conversation_close(struct conversation *conversation)
{
    cm_json_close(&conversation->document);
    memset(conversation, 0, sizeof *conversation);
}

/* ---- messages ---- */

struct message { /* that is read now */
    const struct conversation *conversation;
    struct json_value          json;
    struct json_value          role;
    size_t                     place;
};

static unsigned char mark_of(const struct message *message)
{
    const struct conversation *conversation = message->conversation;
    if (message->place == conversation->last_user) return MARK_LAST_USER;
    const bool is_last = message->place + 1 == cm_json_length(&conversation->messages);
    return conversation->goes_on && is_last ? MARK_PREFILL : MARK_CONVERSATION;
}

/* The texts of an array of parts, joined by line ends. */
static calmoe_status read_parts(struct run *run, const struct message *message, const struct json_value *parts,
                                struct value *out)
{
    const unsigned char mark = mark_of(message);
    struct text_buffer  buffer = { .text = NULL };
    for (size_t i = 0; i < cm_json_length(parts); i++) {
        const struct json_value part = cm_json_element(parts, i), type = cm_json_get(&part, "type");
        const struct json_value text = cm_json_get(&part, "text");
        size_t                  n;
        if (!cm_json_is_object(&part)) return cm_json_wrong(run->ctx, &part, "an object");
        if (type.json && !has_text(&type, "text") && !has_text(&type, "input_text") && !has_text(&type, "output_text"))
            return cm_fail(run->ctx, CALMOE_UNSUPPORTED,
                           "messages[%zu].content[%zu].type: '%.40s': only texts are read, no images, sounds or files",
                           message->place, i, cm_json_bytes(&type, &n));
        if (cm_json_sort(&text) != JSON_IS_TEXT) return cm_json_wrong(run->ctx, &text, "a text");
        const char *bytes = cm_json_bytes(&text, &n);
        if (i > 0) CM_TRY(cm_buffer_put_marked(run, &buffer, "\n", 1, mark));
        CM_TRY(cm_buffer_put_marked(run, &buffer, bytes, n, mark));
    }
    *out = cm_buffer_value(&buffer);
    return CALMOE_OK;
}

/* The content of a message: a text, or a none that prints as nothing. */
static calmoe_status read_content(struct run *run, const struct message *message, struct value *out)
{
    const struct json_value content = cm_json_get(&message->json, "content");
    switch (cm_json_sort(&content)) {
    case JSON_IS_TEXT: return cm_value_of_json(run, &content, mark_of(message), out);
    case JSON_IS_ARRAY: return read_parts(run, message, &content, out);
    case JSON_IS_ABSENT:
        if (!has_text(&message->role, "assistant")) break;
        /* fall through */
    case JSON_IS_NULL:
        *out = cm_value_none();
        out->is_silent = true;
        return CALMOE_OK;
    default: break;
    }
    return cm_json_wrong(run->ctx, &content, "a text, null or an array of parts");
}

static calmoe_status read_role(struct run *run, const struct message *message, struct value *out)
{
    static const char *const known[] = { "system", "user", "assistant", "tool" };
    const bool               is_known = message->conversation->knows_developer;
    const bool               is_system = has_text(&message->role, "developer") && !is_known;
    if (is_system || has_text(&message->role, "function")) {
        *out = cm_value_string(cm_string(is_system ? "system" : "tool"));
        return CALMOE_OK;
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (has_text(&message->role, known[i])) {
            *out = cm_value_string(cm_string(known[i]));
            return CALMOE_OK;
        }
    return cm_value_of_json(run, &message->role, MARK_CONVERSATION, out);
}

/* Arguments that are a text of JSON become the object that they write. */
static calmoe_status read_arguments(struct run *run, struct value *function, const struct json_value *json)
{
    struct json_document document;
    struct value         object;
    size_t               n;
    if (cm_json_sort(json) == JSON_IS_ABSENT) return CALMOE_OK;
    if (cm_json_sort(json) != JSON_IS_TEXT && !cm_json_is_object(json))
        return cm_json_wrong(run->ctx, json, "a text of JSON, or an object");
    const char *text = cm_json_bytes(json, &n);
    if (cm_json_is_object(json)) return CALMOE_OK;
    CM_TRY(cm_json_parse_quietly(run->ctx, text, n, &document));
    const struct json_value root = cm_json_root(&document);
    calmoe_status           status = CALMOE_OK;
    if (document.root && cm_json_is_object(&root)) {
        status = cm_value_of_json(run, &root, MARK_CONVERSATION, &object);
        if (status == CALMOE_OK)
            status = cm_record_put(run, function->record, cm_string("arguments"), object);
    }
    cm_json_close(&document);
    return status;
}

static calmoe_status read_calls(struct run *run, const struct json_value *calls, struct value *out)
{
    CM_TRY(need_sort(run->ctx, calls, JSON_IS_ARRAY, "an array of calls"));
    CM_TRY(cm_value_of_json(run, calls, MARK_CONVERSATION, out));
    for (size_t i = 0; i < cm_json_length(calls); i++) {
        const struct json_value call = cm_json_element(calls, i), function = cm_json_get(&call, "function");
        const struct json_value name = cm_json_get(&function, "name"), arguments = cm_json_get(&function, "arguments");
        if (!cm_json_is_object(&call)) return cm_json_wrong(run->ctx, &call, "an object");
        if (!function.json || !cm_json_is_object(&function)) return cm_json_wrong(run->ctx, &function, "an object");
        if (cm_json_sort(&name) != JSON_IS_TEXT) return cm_json_wrong(run->ctx, &name, "a text");
        struct value *value = cm_record_find(out->list->items[i].record, cm_string("function"));
        CM_TRY(read_arguments(run, value, &arguments));
    }
    return CALMOE_OK;
}

/* Thoughts go by other names in some templates. */
static calmoe_status read_thoughts(struct run *run, const struct message *message, const struct value *content,
                                   struct value *out)
{
    static const char *const names[] = { "reasoning_content", "reasoning" };
    struct value             text;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct json_value given = cm_json_get(&message->json, names[i]);
        if (i == 0) CM_TRY(need_sort(run->ctx, &given, JSON_IS_TEXT, "a text"));
        if (cm_json_sort(&given) != JSON_IS_TEXT) continue;
        CM_TRY(cm_value_of_json(run, &given, mark_of(message), &text));
        CM_TRY(cm_record_put(run, out->record, cm_string("reasoning_content"), text));
        const struct value *calls = cm_record_find(out->record, cm_string("tool_calls"));
        const bool          has_both = calls && cm_value_is_true(calls) && cm_value_is_true(content);
        if (message->conversation->knows_thinking && !has_both)
            CM_TRY(cm_record_put(run, out->record, cm_string("thinking"), text));
        return CALMOE_OK;
    }
    return CALMOE_OK;
}

static calmoe_status read_message(struct run *run, const struct message *message, struct value *out)
{
    struct json_value member = {0};
    struct value      value, content;
    CM_TRY(read_content(run, message, &content));
    CM_TRY(cm_record_open(run, RECORD_DICT, out));
    while (cm_json_next(&message->json, &member)) {
        struct value key;
        value = content;
        if (!strcmp(member.key, "reasoning_content")) continue;
        if (!strcmp(member.key, "role")) CM_TRY(read_role(run, message, &value));
        else if (!strcmp(member.key, "tool_calls")) {
            if (cm_json_length(&member) == 0 && cm_json_sort(&member) != JSON_IS_TEXT) continue;
            CM_TRY(read_calls(run, &member, &value));
        } else if (strcmp(member.key, "content") != 0)
            CM_TRY(cm_value_of_json(run, &member, MARK_CONVERSATION, &value));
        struct text_buffer name = { .text = NULL };
        CM_TRY(cm_buffer_put_marked(run, &name, member.key, strlen(member.key), MARK_CONVERSATION));
        key = cm_buffer_value(&name);
        CM_TRY(cm_dict_put(run, out->record, &key, value));
    }
    if (!cm_record_find(out->record, cm_string("content")))
        CM_TRY(cm_record_put(run, out->record, cm_string("content"), content));
    return read_thoughts(run, message, &content, out);
}

static struct message message_at(const struct conversation *conversation, size_t i)
{
    return (struct message){ .conversation = conversation, .json = cm_json_element(&conversation->messages, i),
                             .place = i };
}

static calmoe_status read_messages(struct run *run, const struct conversation *conversation, struct value *out)
{
    const size_t n = cm_json_length(&conversation->messages);
    CM_TRY(cm_list_open(run, n, out));
    for (size_t i = 0; i < n; i++) {
        struct message message = message_at(conversation, i);
        message.role = cm_json_get(&message.json, "role");
        CM_TRY(read_message(run, &message, &out->list->items[i]));
    }
    return CALMOE_OK;
}

/* ---- variables ---- */

static calmoe_status define(struct run *run, const char *name, struct value value)
{
    return cm_record_put(run, &run->global->variables, cm_string(name), value);
}

/* How much the model is to think; "none" is told to templates that only know whether it does. */
static calmoe_status define_effort(struct run *run, const struct json_value *root)
{
    const struct json_value effort = cm_json_get(root, "reasoning_effort");
    struct value            value;
    CM_TRY(need_sort(run->ctx, &effort, JSON_IS_TEXT, "a text"));
    if (cm_json_sort(&effort) != JSON_IS_TEXT) return CALMOE_OK;
    CM_TRY(cm_value_of_json(run, &effort, MARK_CONVERSATION, &value));
    CM_TRY(define(run, "reasoning_effort", value));
    CM_TRY(define(run, "enable_thinking", cm_value_bool(!has_text(&effort, "none"))));
    return define(run, "thinking", cm_value_bool(!has_text(&effort, "none")));
}

calmoe_status cm_conversation_define(struct run *run, const void *user)
{
    static const char *const   lists[] = { "tools", "documents" };
    const struct conversation *conversation = user;
    const struct json_value   *root = &conversation->root, more = cm_json_get(root, "chat_template_kwargs");
    struct json_value          member = {0};
    struct value               value;
    CM_TRY(read_messages(run, conversation, &value));
    CM_TRY(define(run, "messages", value));
    CM_TRY(define(run, "add_generation_prompt", cm_value_bool(conversation->asks)));
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        const struct json_value list = cm_json_get(root, lists[i]);
        if (cm_json_length(&list) == 0) continue;
        CM_TRY(cm_value_of_json(run, &list, MARK_CONVERSATION, &value));
        CM_TRY(define(run, lists[i], value));
    }
    CM_TRY(define_effort(run, root));
    CM_TRY(need_sort(run->ctx, &more, JSON_IS_OBJECT, "an object"));
    while (cm_json_length(&more) > 0 && cm_json_next(&more, &member)) {
        CM_TRY(cm_value_of_json(run, &member, MARK_CONVERSATION, &value));
        CM_TRY(define(run, member.key, value));
    }
    return CALMOE_OK;
}

/* ---- named formats ---- */

/* The content of message i, which must be of this role, as a text with a NUL; *out NULL where it is of another. */
static calmoe_status text_of_role(struct run *run, const struct conversation *conversation, size_t i, const char *role,
                                  const char **out)
{
    struct message message = message_at(conversation, i);
    struct value   value, found;
    struct string  text;
    char          *copy = NULL;
    *out = NULL;
    message.role = cm_json_get(&message.json, "role");
    CM_TRY(read_role(run, &message, &found));
    if (!cm_string_is(found.string, role)) return CALMOE_OK;
    const struct json_value calls = cm_json_get(&message.json, "tool_calls");
    if (cm_json_length(&calls) > 0)
        return cm_fail(run->ctx, CALMOE_UNSUPPORTED, "messages[%zu]: this chat format has no place for calls", i);
    CM_TRY(read_content(run, &message, &value));
    CM_TRY(cm_value_text(run, &value, &text));
    if (text.n > 0 && memchr(text.text, '\0', text.n))
        return cm_fail(run->ctx, CALMOE_INVALID_ARGUMENT, "messages[%zu].content: a NUL character", i);
    CM_TRY(cm_arena_take(run->ctx, &run->arena, text.n + 1, &copy));
    if (text.n > 0) memcpy(copy, text.text, text.n);
    *out = copy;
    return CALMOE_OK;
}

/* One turn: a user's text, and the answer to it where there is one. */
static calmoe_status write_turn(struct run *run, const struct conversation *conversation, struct chat_turn *turn,
                                size_t *at)
{
    const struct chat_format *format = conversation->format;
    const size_t     n_messages = cm_json_length(&conversation->messages);
    struct chat_part parts[CHAT_MAX_PARTS];
    const char      *answer = NULL;
    CM_TRY(text_of_role(run, conversation, *at, "user", &turn->user));
    if (!turn->user)
        return cm_fail(run->ctx, CALMOE_UNSUPPORTED,
                       "messages[%zu]: the chat format '%s' wants a user and an assistant by turns", *at, format->name);
    const unsigned char mark = *at == conversation->last_user ? MARK_LAST_USER : MARK_CONVERSATION;
    if (++*at < n_messages) {
        CM_TRY(text_of_role(run, conversation, *at, "assistant", &answer));
        if (!answer)
            return cm_fail(run->ctx, CALMOE_UNSUPPORTED,
                           "messages[%zu]: the chat format '%s' wants a user and an assistant by turns", *at,
                           format->name);
        ++*at;
    }
    turn->is_answered = answer != NULL;
    const int n = cm_chat_turn_parts(format, turn, parts);
    if (n == 0)
        return cm_fail(run->ctx, CALMOE_UNSUPPORTED, "chat format '%s' has no place for a system text", format->name);
    const bool is_open = !answer && !conversation->asks; /* the text ends with the user's */
    for (int i = 0; i < n - is_open; i++)
        CM_TRY(cm_buffer_put_marked(run, run->out, parts[i].text, parts[i].n,
                                    parts[i].is_ours ? MARK_TEMPLATE : i + 2 < n ? MARK_CONVERSATION : mark));
    if (!answer) return CALMOE_OK;
    size_t     begin = 0, end = strlen(answer);
    const bool goes_on = *at == n_messages && conversation->goes_on;
    if (!goes_on) cm_chat_answer_bounds(format, answer, end, &begin, &end);
    return cm_buffer_put_marked(run, run->out, answer + begin, end - begin, goes_on ? MARK_PREFILL : MARK_CONVERSATION);
}

calmoe_status cm_conversation_in_format(struct run *run, const void *user)
{
    const struct conversation *conversation = user;
    const struct chat_format  *format = conversation->format;
    const struct json_value    tools = cm_json_get(&conversation->root, "tools");
    const size_t               n = cm_json_length(&conversation->messages);
    struct chat_turn        turn = { .is_first = true };
    size_t                  at = 0;
    if (cm_json_length(&tools) > 0)
        return cm_fail(run->ctx, CALMOE_UNSUPPORTED, "tools: the chat format '%s' has no place for them",
                       format->name);
    CM_TRY(text_of_role(run, conversation, 0, "system", &turn.system));
    if (turn.system) at++;
    if (at == n)
        return cm_fail(run->ctx, CALMOE_INVALID_ARGUMENT, "messages: found no user's, wanted one");
    while (at < n) {
        CM_TRY(write_turn(run, conversation, &turn, &at));
        turn.is_first = false;
    }
    if (turn.is_answered && conversation->asks)
        return cm_fail(run->ctx, CALMOE_INVALID_ARGUMENT,
                       "messages: the last one is an assistant's: wanted a user's, or continue_final_message");
    return CALMOE_OK;
}
