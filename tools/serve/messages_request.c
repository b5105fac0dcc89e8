/* tools/serve/messages_request.c - see messages_request.h. */
#include "tools/serve/messages_request.h"

#include <string.h>

/* The first line of Claude Code's system text changes with every request, so that no prompt would begin like the one
 * before. It says nothing to a model, and is left out. */
static const char billing[] = "x-anthropic-billing-header:";

static bool is_type(const struct sent_value *block, const char *type)
{
    return strcmp(cm_sent_text(block, "type"), type) == 0;
}

/* The texts of content, which is a text or an array of blocks, each on lines of its own. */
static bool join_texts(const struct sent_value *content, struct bytes *all, struct refusal *refusal)
{
    size_t            n = 0;
    const char *const text = cm_sent_string(content, &n);
    if (text != NULL) return cm_bytes_append(all, text, n) || cm_refuse_memory(refusal);
    for (size_t i = 0; i < cm_sent_n(content); i++) {
        const struct sent_value *const block = cm_sent_at(content, i);
        const char *const              part = cm_sent_string(cm_sent_member(block, "text"), &n);
        if (is_type(block, "thinking") || is_type(block, "redacted_thinking") || is_type(block, "tool_use") ||
            is_type(block, "tool_result"))
            continue;
        if (!is_type(block, "text") || part == NULL) {
            refusal->type = "not_supported_error";
            return cm_refuse(refusal, 400, NULL, "a content block of type '%.40s' is not supported",
                             cm_sent_text(block, "type"));
        }
        if (strncmp(part, billing, sizeof billing - 1) == 0) continue;
        if ((all->n > 0 && !cm_bytes_append(all, "\n", 1)) || !cm_bytes_append(all, part, n))
            return cm_refuse_memory(refusal);
    }
    return true;
}

static bool write_text_message(struct json_writer *writer, const char *role, const struct sent_value *content,
                               const char *call_id, struct refusal *refusal)
{
    struct bytes text = {0};
    const bool   is_fine = join_texts(content, &text, refusal);
    const char  *from = text.at != NULL ? text.at : "";
    size_t       n = text.n;
    if (strcmp(role, "system") == 0 && n >= sizeof billing - 1 && strncmp(from, billing, sizeof billing - 1) == 0) {
        const char *const line_end = memchr(from, '\n', n);
        n -= line_end != NULL ? (size_t)(line_end + 1 - from) : n;
        from = line_end != NULL ? line_end + 1 : "";
    }
    if (is_fine && (n > 0 || call_id != NULL)) {
        cm_write_object(writer, NULL);
        cm_write_text(writer, "role", role);
        if (call_id != NULL) cm_write_text(writer, "tool_call_id", call_id);
        cm_write_bytes(writer, "content", from, n);
        cm_write_end_object(writer);
    }
    cm_bytes_close(&text);
    return is_fine;
}

static bool write_assistant(struct json_writer *writer, const struct sent_value *content, struct refusal *refusal)
{
    struct bytes text = {0}, thoughts = {0};
    bool         is_fine = join_texts(content, &text, refusal), has_calls = false;
    const size_t n = cm_sent_kind(content) == SENT_ARRAY ? cm_sent_n(content) : 0;
    for (size_t i = 0; is_fine && i < n; i++) {
        const char *const thought = cm_sent_text(cm_sent_at(content, i), "thinking");
        if (is_type(cm_sent_at(content, i), "thinking") && !cm_bytes_append(&thoughts, thought, strlen(thought)))
            is_fine = cm_refuse_memory(refusal);
    }
    cm_write_object(writer, NULL);
    cm_write_text(writer, "role", "assistant");
    cm_write_bytes(writer, "content", text.at, text.n);
    if (thoughts.n > 0) cm_write_bytes(writer, "reasoning_content", thoughts.at, thoughts.n);
    for (size_t i = 0; is_fine && i < n; i++) {
        const struct sent_value *const block = cm_sent_at(content, i);
        if (!is_type(block, "tool_use")) continue;
        if (!has_calls) cm_write_array(writer, "tool_calls");
        has_calls = true;
        cm_write_object(writer, NULL);
        cm_write_text(writer, "id", cm_sent_text(block, "id"));
        cm_write_text(writer, "type", "function");
        cm_write_object(writer, "function");
        cm_write_text(writer, "name", cm_sent_text(block, "name"));
        cm_sent_copy(writer, "arguments", cm_sent_member(block, "input"));
        cm_write_end_object(writer);
        cm_write_end_object(writer);
    }
    if (has_calls) cm_write_end_array(writer);
    cm_write_end_object(writer);
    cm_bytes_close(&text);
    cm_bytes_close(&thoughts);
    return is_fine;
}

/* The results of tools stand in the user's message, before its text. */
static bool write_user(struct json_writer *writer, const struct sent_value *content, struct refusal *refusal)
{
    const size_t n = cm_sent_kind(content) == SENT_ARRAY ? cm_sent_n(content) : 0;
    for (size_t i = 0; i < n; i++) {
        const struct sent_value *const block = cm_sent_at(content, i);
        if (is_type(block, "tool_result") &&
            !write_text_message(writer, "tool", cm_sent_member(block, "content"), cm_sent_text(block, "tool_use_id"),
                                refusal))
            return false;
    }
    return write_text_message(writer, "user", content, NULL, refusal);
}

/* If the last message is the assistant's, with text and without calls, the answer continues it. */
static bool is_begun(const struct sent_value *messages)
{
    const size_t                   n = cm_sent_n(messages);
    const struct sent_value *const last = n > 0 ? cm_sent_at(messages, n - 1) : NULL;
    const struct sent_value *const content = cm_sent_member(last, "content");
    bool                           has_text = cm_sent_text(last, "content")[0] != '\0';
    for (size_t i = 0; cm_sent_kind(content) == SENT_ARRAY && i < cm_sent_n(content); i++) {
        const struct sent_value *const block = cm_sent_at(content, i);
        if (is_type(block, "tool_use")) return false;
        has_text = has_text || cm_sent_text(block, "text")[0] != '\0';
    }
    return has_text && strcmp(cm_sent_text(last, "role"), "assistant") == 0;
}

static bool write_messages(struct json_writer *writer, const struct sent_value *body, struct refusal *refusal)
{
    const struct sent_value *messages = NULL;
    if (!cm_read_value(body, "messages", SENT_ARRAY, &messages, refusal)) return false;
    if (messages == NULL) return cm_refuse(refusal, 400, "messages", "'messages' wants an array, found none");
    cm_write_array(writer, "messages");
    if (!write_text_message(writer, "system", cm_sent_member(body, "system"), NULL, refusal)) return false;
    for (size_t i = 0; i < cm_sent_n(messages); i++) {
        const struct sent_value *const message = cm_sent_at(messages, i), *const content =
            cm_sent_member(message, "content");
        const char *const role = cm_sent_text(message, "role");
        if (cm_sent_kind(content) != SENT_TEXT && cm_sent_kind(content) != SENT_ARRAY)
            return cm_refuse(refusal, 400, "messages", "'messages' wants a 'content' that is a text or an array in "
                                                       "message %zu, found %s", i, cm_sent_kind_name(content));
        const bool is_fine = strcmp(role, "assistant") == 0 ? write_assistant(writer, content, refusal)
                             : strcmp(role, "user") == 0    ? write_user(writer, content, refusal)
                             : write_text_message(writer, role, content, NULL, refusal);
        if (!is_fine) return false;
    }
    cm_write_end_array(writer);
    if (is_begun(messages)) {
        cm_write_bool(writer, "continue_final_message", true);
        cm_write_bool(writer, "add_generation_prompt", false);
    }
    return true;
}

/* The form of the answer, by its present name and by its earlier one. */
static void write_format(struct json_writer *writer, const struct sent_value *body)
{
    const struct sent_value *format = cm_sent_member(cm_sent_member(body, "output_config"), "format");
    if (format == NULL) format = cm_sent_member(body, "output_format");
    cm_sent_copy(writer, "response_format", format);
}

/* Tools with a type are tools that Anthropic runs itself or whose schema its models know, such as a search or a shell.
 * They are left out. */
static void write_tools(struct json_writer *writer, const struct sent_value *body)
{
    const struct sent_value *const tools = cm_sent_member(body, "tools"), *const choice =
        cm_sent_member(body, "tool_choice");
    const char *const type = cm_sent_text(choice, "type");
    size_t            n = 0;
    for (size_t i = 0; i < cm_sent_n(tools); i++) {
        const struct sent_value *const tool = cm_sent_at(tools, i);
        if (cm_sent_text(tool, "type")[0] != '\0' && !is_type(tool, "custom")) continue;
        if (n++ == 0) cm_write_array(writer, "tools");
        cm_write_object(writer, NULL);
        cm_write_text(writer, "type", "function");
        cm_write_object(writer, "function");
        cm_write_text(writer, "name", cm_sent_text(tool, "name"));
        cm_write_text(writer, "description", cm_sent_text(tool, "description"));
        if (cm_sent_member(tool, "input_schema") != NULL)
            cm_sent_copy(writer, "parameters", cm_sent_member(tool, "input_schema"));
        cm_write_end_object(writer);
        cm_write_end_object(writer);
    }
    if (n > 0) cm_write_end_array(writer);
    if (strcmp(type, "tool") == 0) {
        cm_write_object(writer, "tool_choice");
        cm_write_text(writer, "type", "function");
        cm_write_object(writer, "function");
        cm_write_text(writer, "name", cm_sent_text(choice, "name"));
        cm_write_end_object(writer);
        cm_write_end_object(writer);
    } else if (type[0] != '\0') cm_write_text(writer, "tool_choice", strcmp(type, "any") == 0 ? "required" : type);
}

bool cm_convert_messages_request(struct json_writer *writer, const struct sent_value *body, struct refusal *refusal)
{
    const struct sent_value *thinking = NULL;
    if (!cm_read_value(body, "thinking", SENT_OBJECT, &thinking, refusal)) return false;
    cm_write_object(writer, NULL);
    if (!write_messages(writer, body, refusal)) return false;
    write_tools(writer, body);
    write_format(writer, body);
    if (thinking != NULL) {
        cm_write_object(writer, "chat_template_kwargs");
        cm_write_bool(writer, "enable_thinking", !is_type(thinking, "disabled"));
        cm_write_end_object(writer);
    }
    cm_write_end_object(writer);
    return !writer->failed || cm_refuse_memory(refusal);
}
