/* tools/serve/constraints.c - see constraints.h. */
#include "tools/serve/constraints.h"

#include <stdlib.h>
#include <string.h>

#include "tools/serve/forced_calls.h"
#include "tools/serve/prompts.h"

/* ---- making one ---- */

struct wish {
    const char               *field;    /* the member of the request that asks for it; NULL: none does */
    char                     *schema;   /* the requested schema; NULL: any object, if there is nothing else */
    char                     *pattern;  /* the requested pattern, or NULL                              */
    calmoe_constraint_choice *choices;  /* (n), or NULL                                                */
    int                       n;
    calmoe_constraint_options options;
    calmoe_constraint        *made;
    struct refusal           *refusal;
};

static calmoe_status make(void *user, calmoe_model *model)
{
    struct wish *const wish = user;
    const char *const  schema = wish->schema, *const pattern = wish->pattern;
    if (wish->n > 0)
        return calmoe_constraint_open_choice(model, wish->choices, wish->n, &wish->options, &wish->made);
    if (pattern != NULL)
        return calmoe_constraint_open_pattern(model, pattern, strlen(pattern), &wish->options, &wish->made);
    if (schema == NULL) return calmoe_constraint_open_json_object(model, &wish->options, &wish->made);
    return calmoe_constraint_open_json_schema(model, schema, strlen(schema), &wish->options, &wish->made);
}

/* If a thought is open, the form begins after it. */
static void begin_wish(struct wish *wish, bool thinks, struct refusal *refusal)
{
    *wish = (struct wish){.refusal = refusal};
    calmoe_constraint_options_init(&wish->options);
    if (thinks) wish->options.after = "</think>";
}

static bool fulfil(struct server *server, struct wish *wish, struct job *job)
{
    const char *message;
    if (!cm_server_is_ready(server, wish->refusal)) return false;
    const calmoe_status status = cm_service_constrain(server->service, make, wish, &message);
    job->constraint              = wish->made;
    job->want.sampler.constraint = wish->made;
    if (status == CALMOE_NO_MEMORY) return cm_refuse_memory(wish->refusal);
    return status == CALMOE_OK || cm_refuse(wish->refusal, 400, wish->field, "%s", message);
}

/* ---- formats ---- */

/* A schema is JSON, or text that contains JSON; with "" or false, some clients say that they want none. */
static bool wish_schema(struct wish *wish, const struct sent_value *value)
{
    const char *const text = cm_sent_string(value, NULL);
    wish->schema = text != NULL ? strdup(text) : cm_sent_print(value);
    return wish->schema != NULL || cm_refuse_memory(wish->refusal);
}

static bool wish_pattern(struct wish *wish, const struct sent_value *value)
{
    const char *const text = cm_sent_string(value, NULL);
    if (text == NULL)
        return cm_refuse(wish->refusal, 400, wish->field, "'%s' wants a text, found %s", wish->field,
                         cm_sent_kind_name(value));
    wish->pattern = strdup(text);
    return wish->pattern != NULL || cm_refuse_memory(wish->refusal);
}

/* A pattern that allows exactly these texts; all other characters with a meaning are escaped. */
static bool wish_choice(struct wish *wish, const struct sent_value *value)
{
    struct bytes pattern = {0};
    bool         is_fine = true;
    if (cm_sent_kind(value) != SENT_ARRAY || cm_sent_n(value) == 0)
        return cm_refuse(wish->refusal, 400, wish->field, "'%s' wants an array of texts, found %s", wish->field,
                         cm_sent_kind(value) == SENT_ARRAY ? "an empty one" : cm_sent_kind_name(value));
    for (size_t i = 0; is_fine && i < cm_sent_n(value); i++) {
        const char *const text = cm_sent_string(cm_sent_at(value, i), NULL);
        if (text == NULL || text[0] == '\0') {
            cm_bytes_close(&pattern);
            return cm_refuse(wish->refusal, 400, wish->field, "'%s' wants texts that are not empty, found %s",
                             wish->field, cm_sent_kind_name(cm_sent_at(value, i)));
        }
        is_fine = i == 0 || cm_bytes_append(&pattern, "|", 1);
        for (const char *at = text; is_fine && *at != '\0'; at++)
            is_fine = (strchr("^$\\.*+?()[]{}|/", *at) == NULL || cm_bytes_append(&pattern, "\\", 1)) &&
                      cm_bytes_append(&pattern, at, 1);
    }
    is_fine       = is_fine && cm_bytes_append(&pattern, "", 1);
    wish->pattern = is_fine ? pattern.at : NULL;
    if (!is_fine) cm_bytes_close(&pattern);
    return is_fine || cm_refuse_memory(wish->refusal);
}

static bool wish_object(struct wish *wish, const struct sent_value *value)
{
    if (cm_sent_kind(value) == SENT_TRUE) return true;
    return cm_refuse(wish->refusal, 400, wish->field, "'%s' wants true or false, found %s", wish->field,
                     cm_sent_kind_name(value));
}

/* The form of OpenAI's API. */
static bool wish_format(struct wish *wish, const struct sent_value *format)
{
    struct refusal *const    refusal = wish->refusal;
    const char              *type = "text";
    const struct sent_value *schema;
    if (cm_sent_kind(format) != SENT_OBJECT)
        return cm_refuse(refusal, 400, wish->field, "'response_format' wants an object, found %s",
                         cm_sent_kind_name(format));
    if (!cm_read_text(format, "type", &type, refusal)) return false;
    if (strcmp(type, "text") == 0) {
        wish->field = NULL;
        return true;
    }
    schema = cm_sent_member(cm_sent_member(format, "json_schema"), "schema"); /* nested as in OpenAI's API */
    if (schema == NULL) schema = cm_sent_member(format, "schema");            /* as other servers do       */
    if (strcmp(type, "json_object") != 0 && strcmp(type, "json_schema") != 0)
        return cm_refuse(refusal, 400, "response_format", "'response_format' wants a 'type' of text, json_object or "
                                                          "json_schema, found '%.40s'", type);
    if (strcmp(type, "json_schema") == 0 && schema == NULL)
        return cm_refuse(refusal, 400, "response_format", "'response_format' wants a 'schema', found none");
    return schema == NULL || wish_schema(wish, schema);
}

static bool refuse_grammar(struct wish *wish, const struct sent_value *value)
{
    (void)value;
    return cm_refuse(wish->refusal, 400, wish->field, "'%s' is not supported; 'response_format' takes a JSON schema, "
                                                      "'guided_regex' a pattern", wish->field);
}

/* Members by which other servers' clients ask for forms. */
static const struct {
    const char *within; /* a member of the request; NULL: the request itself */
    const char *name;
    bool (*read)(struct wish *wish, const struct sent_value *value);
} wishes[] = {
    {NULL, "response_format", wish_format},
    {NULL, "json_schema", wish_schema},
    {NULL, "grammar", refuse_grammar},
    {NULL, "guided_json", wish_schema},
    {NULL, "guided_regex", wish_pattern},
    {NULL, "guided_choice", wish_choice},
    {NULL, "guided_grammar", refuse_grammar},
    {"structured_outputs", "json", wish_schema},
    {"structured_outputs", "regex", wish_pattern},
    {"structured_outputs", "choice", wish_choice},
    {"structured_outputs", "json_object", wish_object},
    {"structured_outputs", "grammar", refuse_grammar},
    {"structured_outputs", "structural_tag", refuse_grammar},
};

static bool read_wish(const struct sent_value *body, struct wish *wish)
{
    for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++) {
        const struct sent_value *within = body, *value;
        size_t                   n_text = 0;
        if (wishes[i].within != NULL) {
            within = NULL;
            if (!cm_read_value(body, wishes[i].within, SENT_OBJECT, &within, wish->refusal)) return false;
        }
        value = cm_sent_member(within, wishes[i].name);
        if (value == NULL || cm_sent_kind(value) == SENT_FALSE ||
            (cm_sent_string(value, &n_text) != NULL && n_text == 0))
            continue;
        if (wish->field != NULL)
            return cm_refuse(wish->refusal, 400, wishes[i].name, "'%s' and '%s' both say what the answer must be; one "
                                                                 "of them is wanted", wish->field, wishes[i].name);
        wish->field = wishes[i].name;
        if (!wishes[i].read(wish, value)) return false;
    }
    return true;
}

bool cm_constrain_format(struct server *server, const struct sent_value *body, bool thinks, struct job *job,
                         struct refusal *refusal)
{
    struct wish wish;
    begin_wish(&wish, thinks, refusal);
    const bool is_fine = read_wish(body, &wish) && (wish.field == NULL || fulfil(server, &wish, job));
    free(wish.schema);
    free(wish.pattern);
    return is_fine;
}

/* ---- calls ---- */

/* The texts around a call's arguments, and the name of the tool from which they were learned. */
struct call_form {
    char *before, *after;
};

static void close_form(struct call_form *form)
{
    free(form->before);
    free(form->after);
}

/* The prompt of a conversation with a single tool, with a call of it or before the call. To be freed; NULL: the
 * template cannot write it. */
static char *render(const struct server *server, const struct sent_value *tool, const char *name, bool has_call)
{
    struct json_writer  writer = {.failed = false};
    struct refusal      none = {0};
    calmoe_chat_prompt *prompt = NULL;
    char               *text = NULL;
    size_t              n = 0;
    cm_write_object(&writer, NULL);
    cm_write_array(&writer, "messages");
    cm_write_json(&writer, NULL, "{\"role\":\"user\",\"content\":\"Go\"}");
    if (has_call) {
        cm_write_json(&writer, NULL, "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":\"call_0\","
                                     "\"type\":\"function\",\"function\":{\"arguments\":{\"zqkey\":\"zqvalue\"}");
        cm_write_text(&writer, "name", name);
        cm_write_raw(&writer, "}}]}");
    }
    cm_write_end_array(&writer);
    cm_write_array(&writer, "tools");
    cm_sent_copy(&writer, NULL, tool);
    cm_write_end_array(&writer);
    cm_write_bool(&writer, "add_generation_prompt", !has_call);
    cm_write_end_object(&writer);
    if (!writer.failed && cm_open_prompt(server, writer.bytes.at, writer.bytes.n, &prompt, &none)) {
        const char *const from = calmoe_chat_prompt_text(prompt, &n);
        text = strndup(from, n);
    }
    calmoe_chat_prompt_close(&prompt);
    cm_writer_close(&writer);
    return text;
}

/* The text up to the token that ends an answer. */
static char *before_end(const struct server *server, const char *text)
{
    const calmoe_model *const model = cm_server_model(server);
    struct refusal            none = {0};
    int32_t                  *tokens = NULL;
    char                     *cut = NULL;
    int                       n = 0, end = 0;
    size_t                    n_cut = 0;
    if (!cm_server_tokenize(server, text, strlen(text), CALMOE_TOKENIZE_SPECIAL, &tokens, &n, &none)) return NULL;
    while (end < n && !calmoe_token_ends(model, tokens[end])) end++;
    if (cm_tokens_text(server, tokens, end, &cut, &n_cut, &none)) {
        char *const ended = realloc(cut, n_cut + 1);
        if (ended != NULL) ended[n_cut] = '\0';
        else free(cut);
        cut = ended;
    }
    free(tokens);
    return cut;
}

/* The text after white space, and after a thought that the template puts there. */
static const char *skip_thought(const char *text)
{
    static const char open[] = "<think>", close[] = "</think>";
    text += strspn(text, " \n");
    const char *const end = strncmp(text, open, sizeof open - 1) == 0 ? strstr(text, close) : NULL;
    if (end != NULL) text = end + sizeof close - 1;
    else if (strncmp(text, close, sizeof close - 1) == 0) text += sizeof close - 1;
    return text + strspn(text, " \n");
}

/* Learns how the template writes a call: what a prompt with a call has more than the prompt before it. False: it is not
 * a call in JSON. */
static bool learn(const struct server *server, const struct sent_value *tool, const char *name, struct call_form *form)
{
    static const char key[] = "{\"zqkey\":", value[] = "zqvalue\"";
    char *const whole = render(server, tool, name, true), *const begin = render(server, tool, name, false);
    bool        is_learned = false;
    if (whole != NULL && begin != NULL) {
        size_t n = 0;
        while (begin[n] != '\0' && begin[n] == whole[n]) n++;
        const char *const from = skip_thought(whole + n), *const arguments = strstr(from, key);
        const char *const last = arguments != NULL ? strstr(arguments, value) : NULL;
        const char *const end = last != NULL ? strchr(last, '}') : NULL;
        if (end != NULL) {
            form->before = strndup(from, (size_t)(arguments - from));
            form->after  = before_end(server, end + 1);
            is_learned   = form->before != NULL && form->after != NULL && strstr(form->before, name) != NULL;
        }
    }
    free(whole);
    free(begin);
    return is_learned;
}

/* The text in which each `name` is replaced, to be freed. */
static char *with_name(const char *text, const char *name, const char *other)
{
    struct bytes all = {0};
    bool         is_fine = true;
    for (const char *at; is_fine && (at = strstr(text, name)) != NULL; text = at + strlen(name))
        is_fine = cm_bytes_append(&all, text, (size_t)(at - text)) && cm_bytes_append(&all, other, strlen(other));
    if (is_fine && cm_bytes_append(&all, text, strlen(text) + 1)) return all.at;
    cm_bytes_close(&all);
    return NULL;
}

struct choices {
    calmoe_constraint_choice *at;     /* (n) they point into texts    */
    char                    **texts;  /* (2 n) prefixes and schemas   */
    int                       n;
};

static void close_choices(struct choices *choices)
{
    for (int i = 0; choices->texts != NULL && i < 2 * choices->n; i++) free(choices->texts[i]);
    free(choices->texts);
    free(choices->at);
}

static const char *name_of(const struct sent_value *tool)
{
    return cm_sent_text(cm_sent_member(tool, "function"), "name");
}

/* Makes a choice for each tool, or only for the tool with that name. */
static bool make_choices(const struct sent_value *tools, const char *name, const struct call_form *form,
                         const char *learned, struct choices *choices)
{
    const size_t n = cm_sent_n(tools);
    choices->at    = calloc(n, sizeof *choices->at);
    choices->texts = calloc(2 * n, sizeof *choices->texts);
    if (choices->at == NULL || choices->texts == NULL) return false;
    for (size_t i = 0; i < n; i++) {
        const struct sent_value *const tool = cm_sent_at(tools, i);
        const struct sent_value *const schema = cm_sent_member(cm_sent_member(tool, "function"), "parameters");
        if (name != NULL && strcmp(name, name_of(tool)) != 0) continue;
        const int   at = choices->n++;
        char *const prefix = with_name(form->before, learned, name_of(tool)), *const text =
            cm_sent_n(schema) > 0 ? cm_sent_print(schema) : NULL;
        choices->texts[2 * at]     = prefix;
        choices->texts[2 * at + 1] = text;
        choices->at[at] = (calmoe_constraint_choice){.prefix = prefix, .schema = text, .suffix = form->after,
                                                     .n_bytes = text != NULL ? strlen(text) : 0};
        if (prefix == NULL || (cm_sent_n(schema) > 0 && text == NULL)) return false;
    }
    return true;
}

bool cm_constrain_calls(struct server *server, const struct sent_value *tools, const char *name, bool thinks,
                        struct job *job, bool *is_plain, struct refusal *refusal)
{
    const struct sent_value *const first = cm_sent_at(tools, 0);
    const char *const              learned = name_of(first);
    struct call_form               form = {NULL, NULL};
    struct choices                 choices = {.n = 0};
    struct wish                    wish;
    if (learned[0] == '\0')
        return cm_refuse(refusal, 400, "tools", "'tools' wants functions with a 'name'");
    *is_plain = !learn(server, first, learned, &form);
    if (*is_plain) {
        close_form(&form);
        form.before = with_name(FORCED_CALL_BEGIN, FORCED_CALL_NAME, learned);
        form.after  = strdup(FORCED_CALL_END);
    }
    bool is_fine = form.before != NULL && form.after != NULL &&
                   make_choices(tools, name, &form, learned, &choices);
    if (!is_fine) (void)cm_refuse_memory(refusal);
    else if (choices.n == 0)
        is_fine = cm_refuse(refusal, 400, "tool_choice", "'tool_choice' names '%.60s', which is none of the tools",
                            name);
    if (is_fine) {
        begin_wish(&wish, thinks, refusal);
        wish.field   = "tools";
        wish.choices = choices.at;
        wish.n       = choices.n;
        is_fine      = fulfil(server, &wish, job);
    }
    close_choices(&choices);
    close_form(&form);
    return is_fine;
}
