/* tools/serve/responses_request.c - see responses_request.h. */
#include "tools/serve/responses_request.h"

#include <string.h>

/* A text, or the texts of several parts joined together. */
static bool join_parts(const struct sent_value *content, struct bytes *all, struct refusal *refusal)
{
    size_t            n = 0;
    const char *const text = cm_sent_string(content, &n);
    if (text != NULL) return cm_bytes_append(all, text, n) || cm_refuse_memory(refusal);
    for (size_t i = 0; i < cm_sent_n(content); i++) {
        const struct sent_value *const part = cm_sent_at(content, i);
        const char *const              type = cm_sent_text(part, "type");
        const char *const              refused = cm_sent_text(part, "refusal");
        const char                    *piece = cm_sent_string(cm_sent_member(part, "text"), &n);
        if (piece == NULL && strcmp(type, "refusal") == 0) piece = refused, n = strlen(refused);
        if (piece == NULL) {
            refusal->type = "not_supported_error";
            return cm_refuse(refusal, 400, "input", "a part of type '%.40s' is not supported", type);
        }
        if (!cm_bytes_append(all, piece, n)) return cm_refuse_memory(refusal);
    }
    return true;
}

/* Collects an assistant's turn, whose text, thoughts and calls are separate items here. */
struct turn {
    struct bytes text, thoughts;
    struct json_writer calls; /* elements of an array */
    bool         is_open;
};

static void end_turn(struct json_writer *writer, struct turn *turn)
{
    if (turn->is_open) {
        cm_write_object(writer, NULL);
        cm_write_text(writer, "role", "assistant");
        cm_write_bytes(writer, "content", turn->text.at, turn->text.n);
        if (turn->thoughts.n > 0) cm_write_bytes(writer, "reasoning_content", turn->thoughts.at, turn->thoughts.n);
        if (turn->calls.bytes.n > 0 && cm_bytes_append(&turn->calls.bytes, "", 1)) {
            cm_write_array(writer, "tool_calls");
            cm_write_json(writer, NULL, turn->calls.bytes.at);
            cm_write_end_array(writer);
        }
        cm_write_end_object(writer);
    }
    cm_bytes_close(&turn->text);
    cm_bytes_close(&turn->thoughts);
    cm_writer_close(&turn->calls);
    turn->is_open = false;
}

static void add_call(struct turn *turn, const struct sent_value *item)
{
    struct json_writer *const calls = &turn->calls;
    cm_write_object(calls, NULL);
    cm_write_text(calls, "id", cm_sent_text(item, "call_id"));
    cm_write_text(calls, "type", "function");
    cm_write_object(calls, "function");
    cm_write_text(calls, "name", cm_sent_text(item, "name"));
    cm_write_text(calls, "arguments", cm_sent_text(item, "arguments"));
    cm_write_end_object(calls);
    cm_write_end_object(calls);
    turn->is_open = true;
}

static bool write_message(struct json_writer *writer, const char *role, const char *call_id,
                          const struct sent_value *content, struct refusal *refusal)
{
    struct bytes text = {0};
    const bool   is_fine = join_parts(content, &text, refusal);
    cm_write_object(writer, NULL);
    cm_write_text(writer, "role", role);
    if (call_id != NULL) cm_write_text(writer, "tool_call_id", call_id);
    cm_write_bytes(writer, "content", text.at, text.n);
    cm_write_end_object(writer);
    cm_bytes_close(&text);
    return is_fine;
}

static bool write_item(struct json_writer *writer, struct turn *turn, const struct sent_value *item,
                       struct refusal *refusal)
{
    const char *const type = cm_sent_text(item, "type"), *const role = cm_sent_text(item, "role");
    const struct sent_value *content = cm_sent_member(item, "content");
    if (strcmp(type, "reasoning") == 0) {
        turn->is_open = true;
        return join_parts(content != NULL ? content : cm_sent_member(item, "summary"), &turn->thoughts, refusal);
    }
    if (strcmp(type, "function_call") == 0) {
        add_call(turn, item);
        return true;
    }
    if (strcmp(type, "function_call_output") == 0) {
        end_turn(writer, turn);
        return write_message(writer, "tool", cm_sent_text(item, "call_id"), cm_sent_member(item, "output"), refusal);
    }
    if (type[0] != '\0' && strcmp(type, "message") != 0) {
        refusal->type = "not_supported_error";
        return cm_refuse(refusal, 400, "input", "an item of type '%.40s' is not supported", type);
    }
    if (strcmp(role, "assistant") == 0) {
        turn->is_open = true;
        return join_parts(content, &turn->text, refusal);
    }
    end_turn(writer, turn);
    return write_message(writer, role[0] != '\0' ? role : "user", NULL, content, refusal);
}

static bool write_messages(struct json_writer *writer, const struct sent_value *body, struct refusal *refusal)
{
    const struct sent_value *const input = cm_sent_member(body, "input");
    const struct sent_value *const instructions = cm_sent_member(body, "instructions");
    struct turn                    turn = {.is_open = false};
    bool                           is_fine = true;
    cm_write_array(writer, "messages");
    if (instructions != NULL) is_fine = write_message(writer, "system", NULL, instructions, refusal);
    if (cm_sent_kind(input) == SENT_TEXT) is_fine = is_fine && write_message(writer, "user", NULL, input, refusal);
    else if (cm_sent_kind(input) != SENT_ARRAY)
        is_fine = cm_refuse(refusal, 400, "input", "'input' wants a text or an array of items, found %s",
                            input == NULL ? "none" : cm_sent_kind_name(input));
    for (size_t i = 0; is_fine && cm_sent_kind(input) == SENT_ARRAY && i < cm_sent_n(input); i++)
        is_fine = write_item(writer, &turn, cm_sent_at(input, i), refusal);
    end_turn(writer, &turn);
    cm_write_end_array(writer);
    return is_fine;
}

/* Tools that are not functions are run by OpenAI itself, such as a search or a shell. They are left out. */
static void write_tools(struct json_writer *writer, const struct sent_value *body)
{
    const struct sent_value *const tools = cm_sent_member(body, "tools"), *const choice =
        cm_sent_member(body, "tool_choice");
    size_t n = 0;
    for (size_t i = 0; i < cm_sent_n(tools); i++) {
        const struct sent_value *const tool = cm_sent_at(tools, i);
        if (strcmp(cm_sent_text(tool, "type"), "function") != 0) continue;
        if (n++ == 0) cm_write_array(writer, "tools");
        cm_write_object(writer, NULL);
        cm_write_text(writer, "type", "function");
        cm_write_object(writer, "function");
        cm_write_text(writer, "name", cm_sent_text(tool, "name"));
        cm_write_text(writer, "description", cm_sent_text(tool, "description"));
        cm_sent_copy(writer, "parameters", cm_sent_member(tool, "parameters"));
        cm_write_end_object(writer);
        cm_write_end_object(writer);
    }
    if (n > 0) cm_write_end_array(writer);
    if (strcmp(cm_sent_text(choice, "type"), "function") == 0) {
        cm_write_object(writer, "tool_choice");
        cm_write_text(writer, "type", "function");
        cm_write_object(writer, "function");
        cm_write_text(writer, "name", cm_sent_text(choice, "name"));
        cm_write_end_object(writer);
        cm_write_end_object(writer);
    } else if (n > 0) cm_sent_copy(writer, "tool_choice", choice);
}

/* Rewrites "text": {"format": {"type","name","schema",…}} as "response_format". */
static void write_format(struct json_writer *writer, const struct sent_value *body)
{
    const struct sent_value *const format = cm_sent_member(cm_sent_member(body, "text"), "format");
    if (format == NULL) return;
    cm_write_object(writer, "response_format");
    cm_write_text(writer, "type", cm_sent_text(format, "type"));
    if (cm_sent_member(format, "schema") != NULL) {
        cm_write_object(writer, "json_schema");
        cm_write_text(writer, "name", cm_sent_text(format, "name"));
        cm_sent_copy(writer, "schema", cm_sent_member(format, "schema"));
        cm_sent_copy(writer, "strict", cm_sent_member(format, "strict"));
        cm_write_end_object(writer);
    }
    cm_write_end_object(writer);
}

bool cm_convert_response_request(struct json_writer *writer, const struct sent_value *body, struct refusal *refusal)
{
    static const char *const stored[] = {"previous_response_id", "conversation", "prompt"};
    for (size_t i = 0; i < sizeof stored / sizeof stored[0]; i++)
        if (cm_sent_member(body, stored[i]) != NULL)
            return cm_refuse(refusal, 400, stored[i], "'%s' is not supported: nothing is stored; send the conversation",
                             stored[i]);
    cm_write_object(writer, NULL);
    const bool is_fine = write_messages(writer, body, refusal);
    write_tools(writer, body);
    write_format(writer, body);
    cm_sent_copy(writer, "reasoning_effort", cm_sent_member(cm_sent_member(body, "reasoning"), "effort"));
    cm_sent_copy(writer, "chat_template_kwargs", cm_sent_member(body, "chat_template_kwargs"));
    cm_write_end_object(writer);
    return is_fine && (!writer->failed || cm_refuse_memory(refusal));
}
