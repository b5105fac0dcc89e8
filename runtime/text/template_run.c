/* template_run.c - runs the tree of a template: statements print, expressions have values. */
#include <string.h>

#include "base/memory.h"
#include "runtime/text/template_parts.h"

/* ---- expressions ---- */

static calmoe_status evaluate(struct run *run, const struct node *node, struct value *out);

static struct value find_variable(const struct run *run, struct string name)
{
    for (const struct scope *scope = run->scope; scope; scope = scope->parent) {
        const struct value *found = cm_record_find(&scope->variables, name);
        if (found) return *found;
    }
    return (struct value){ .kind = VALUE_UNDEFINED };
}

static calmoe_status evaluate_list(struct run *run, const struct node *node, struct value *out)
{
    size_t n = 0;
    for (const struct node *item = node->list; item; item = item->next) n++;
    CM_TRY(cm_list_open(run, n, out));
    n = 0;
    for (const struct node *item = node->list; item; item = item->next)
        CM_TRY(evaluate(run, item, &out->list->items[n++]));
    return CALMOE_OK;
}

static calmoe_status evaluate_arguments(struct run *run, const struct node *first, struct arguments *arguments)
{
    arguments->n = 0;
    for (const struct node *node = first; node; node = node->next) {
        const bool is_keyword = node->kind == NODE_KEYWORD;
        arguments->names[arguments->n] = is_keyword ? node->name : (struct string){ NULL, 0 };
        CM_TRY(evaluate(run, is_keyword ? node->a : node, &arguments->values[arguments->n]));
        arguments->n++;
    }
    return CALMOE_OK;
}

static calmoe_status call_macro(struct run *run, const struct node *macro, const struct arguments *arguments,
                                struct value *out);

static calmoe_status evaluate_call(struct run *run, const struct node *node, struct value *out)
{
    struct arguments arguments;
    struct value     called;
    if (node->a->kind == NODE_GET && node->a->is_dotted) {
        struct value subject;
        CM_TRY(evaluate(run, node->a->a, &subject));
        CM_TRY(evaluate_arguments(run, node->list, &arguments));
        return cm_call_method(run, &subject, node->a->b->value.string, &arguments, out);
    }
    CM_TRY(evaluate(run, node->a, &called));
    CM_TRY(evaluate_arguments(run, node->list, &arguments));
    if (called.kind == VALUE_MACRO) return call_macro(run, called.macro, &arguments, out);
    if (called.kind == VALUE_FUNCTION) return cm_call_function(run, called.function, &arguments, out);
    const struct string name = node->a->kind == NODE_NAME ? node->a->name : cm_string("this");
    return cm_run_fail(run, "'%.*s' is no function that is known to this version", cm_string_shown(name), name.text);
}

static calmoe_status evaluate_slice(struct run *run, const struct node *node, struct value *out)
{
    struct value             whole, bounds[3];
    const struct node *const parts[3] = { node->b, node->c, node->d };
    CM_TRY(evaluate(run, node->a, &whole));
    for (int i = 0; i < 3; i++) {
        bounds[i] = (struct value){ .kind = VALUE_NONE };
        if (parts[i]) CM_TRY(evaluate(run, parts[i], &bounds[i]));
    }
    return cm_value_slice(run, &whole, bounds, out);
}

static calmoe_status evaluate_unary(struct run *run, const struct node *node, struct value *out)
{
    struct value operand;
    CM_TRY(evaluate(run, node->a, &operand));
    if (node->op == OP_NOT) {
        *out = cm_value_bool(!cm_value_is_true(&operand));
        return CALMOE_OK;
    }
    if (operand.kind != VALUE_INTEGER)
        return cm_run_fail(run, "%s has no sign", cm_value_kind_name(&operand));
    *out = cm_value_integer(node->op == OP_NEGATE ? -operand.number : operand.number);
    return CALMOE_OK;
}

/* `and` and `or` give one of their operands, and leave the second alone where the first decides. */
static calmoe_status evaluate_binary(struct run *run, const struct node *node, struct value *out)
{
    struct value a, b;
    CM_TRY(evaluate(run, node->a, &a));
    if (node->op == OP_AND || node->op == OP_OR) {
        *out = a;
        return cm_value_is_true(&a) == (node->op == OP_AND) ? evaluate(run, node->b, out) : CALMOE_OK;
    }
    CM_TRY(evaluate(run, node->b, &b));
    return cm_value_binary(run, node->op, &a, &b, out);
}

static calmoe_status evaluate_use(struct run *run, const struct node *node, struct value *out)
{
    struct arguments arguments;
    struct value     subject, which;
    CM_TRY(evaluate(run, node->a, &subject));
    if (node->kind == NODE_GET) {
        CM_TRY(evaluate(run, node->b, &which));
        return cm_value_get(run, &subject, &which, node->is_dotted, out);
    }
    CM_TRY(evaluate_arguments(run, node->list, &arguments));
    return node->kind == NODE_FILTER ? cm_call_filter(run, &subject, node->name, &arguments, out)
                                     : cm_call_test(run, &subject, node->name, &arguments, out);
}

static calmoe_status evaluate_choice(struct run *run, const struct node *node, struct value *out)
{
    struct value condition;
    CM_TRY(evaluate(run, node->a, &condition));
    if (cm_value_is_true(&condition)) return evaluate(run, node->b, out);
    *out = (struct value){ .kind = VALUE_UNDEFINED };
    return node->c ? evaluate(run, node->c, out) : CALMOE_OK;
}

static calmoe_status evaluate_kind(struct run *run, const struct node *node, struct value *out)
{
    switch (node->kind) {
    case NODE_CONSTANT: *out = node->value; return CALMOE_OK;
    case NODE_NAME: *out = find_variable(run, node->name); return CALMOE_OK;
    case NODE_LIST: return evaluate_list(run, node, out);
    case NODE_CALL: return evaluate_call(run, node, out);
    case NODE_SLICE: return evaluate_slice(run, node, out);
    case NODE_UNARY: return evaluate_unary(run, node, out);
    case NODE_BINARY: return evaluate_binary(run, node, out);
    case NODE_CHOICE: return evaluate_choice(run, node, out);
    case NODE_GET:
    case NODE_FILTER:
    case NODE_TEST: return evaluate_use(run, node, out);
    default: break;
    }
    return cm_run_fail(run, "%.*s is not known to this version", (int)node->name.n, node->name.text);
}

/* Counts a step down the tree; each call has its own leave(). */
static calmoe_status enter(struct run *run, const struct node *node)
{
    run->line = node->line;
    if (++run->n_steps > TEMPLATE_MAX_STEPS) return cm_run_fail(run, "it takes too long");
    if (++run->depth > TEMPLATE_MAX_DEPTH) return cm_run_fail(run, "too much stands inside each other");
    return CALMOE_OK;
}

static calmoe_status evaluate(struct run *run, const struct node *node, struct value *out)
{
    CM_TRY(enter(run, node));
    CM_TRY(evaluate_kind(run, node, out));
    run->depth--;
    return CALMOE_OK;
}

/* ---- statements ---- */

static calmoe_status execute(struct run *run, const struct node *first);

static calmoe_status assign(struct run *run, const struct node *target, struct value value)
{
    if (target->kind == NODE_NAME) return cm_record_put(run, &run->scope->variables, target->name, value);
    const struct value whole = find_variable(run, target->a->name);
    if (whole.kind != VALUE_RECORD || !whole.record->may_be_set)
        return cm_run_fail(run, "a part is set of %s; only of a namespace it can be", cm_value_kind_name(&whole));
    return cm_record_put(run, whole.record, target->name, value);
}

/* Lets body print into a text of its own. */
static calmoe_status capture(struct run *run, const struct node *body, struct value *out)
{
    struct text_buffer  buffer = { NULL, 0, 0 };
    struct text_buffer *outer = run->out;
    run->out = &buffer;
    const calmoe_status status = execute(run, body);
    run->out = outer;
    *out = cm_value_string((struct string){ buffer.text ? buffer.text : "", buffer.n });
    return status;
}

/* The variable `loop` of round i of n. */
static calmoe_status describe_loop(struct run *run, const struct list *list, size_t i, struct value *loop)
{
    const int64_t at = (int64_t)i, n = (int64_t)list->n;
    const struct {
        const char  *name;
        struct value value;
    } fields[] = {
        { "index0", cm_value_integer(at) },        { "index", cm_value_integer(at + 1) },
        { "revindex0", cm_value_integer(n - at - 1) }, { "revindex", cm_value_integer(n - at) },
        { "first", cm_value_bool(at == 0) },       { "last", cm_value_bool(at == n - 1) },
        { "length", cm_value_integer(n) },
    };
    CM_TRY(cm_record_open(run, false, loop));
    for (size_t k = 0; k < sizeof fields / sizeof fields[0]; k++)
        CM_TRY(cm_record_put(run, loop->record, cm_string(fields[k].name), fields[k].value));
    if (i > 0) CM_TRY(cm_record_put(run, loop->record, cm_string("previtem"), list->items[i - 1]));
    if (i + 1 < list->n) CM_TRY(cm_record_put(run, loop->record, cm_string("nextitem"), list->items[i + 1]));
    return CALMOE_OK;
}

/* Gives an item to the names of a loop: to one, or its parts to several. */
static calmoe_status assign_item(struct run *run, const struct node *names, const struct value *item)
{
    size_t n = 0;
    if (!names->next) return cm_record_put(run, &run->scope->variables, names->name, *item);
    for (const struct node *name = names; name; name = name->next) n++;
    if (item->kind != VALUE_LIST || item->list->n != n) return cm_run_fail(run, "an item has not %zu parts", n);
    n = 0;
    for (const struct node *name = names; name; name = name->next)
        CM_TRY(cm_record_put(run, &run->scope->variables, name->name, item->list->items[n++]));
    return CALMOE_OK;
}

/* The items for which the loop's condition holds. */
static calmoe_status choose_items(struct run *run, const struct node *node, struct value *items)
{
    struct value kept, holds;
    size_t       n = 0;
    CM_TRY(cm_list_open(run, items->list->n, &kept));
    for (size_t i = 0; i < items->list->n; i++) {
        struct scope scope = { .parent = run->scope };
        run->scope = &scope;
        calmoe_status status = assign_item(run, node->list, &items->list->items[i]);
        if (status == CALMOE_OK) status = evaluate(run, node->b, &holds);
        run->scope = scope.parent;
        CM_TRY(status);
        if (cm_value_is_true(&holds)) kept.list->items[n++] = items->list->items[i];
    }
    kept.list->n = n;
    *items = kept;
    return CALMOE_OK;
}

static calmoe_status run_round(struct run *run, const struct node *node, const struct list *list, size_t i)
{
    struct scope scope = { .parent = run->scope };
    struct value loop;
    run->scope = &scope;
    calmoe_status status = describe_loop(run, list, i, &loop);
    if (status == CALMOE_OK) status = cm_record_put(run, &scope.variables, cm_string("loop"), loop);
    if (status == CALMOE_OK) status = assign_item(run, node->list, &list->items[i]);
    if (status == CALMOE_OK) status = execute(run, node->body);
    run->scope = scope.parent;
    return status;
}

static calmoe_status run_for(struct run *run, const struct node *node)
{
    struct value items;
    CM_TRY(evaluate(run, node->a, &items));
    if (items.kind == VALUE_UNDEFINED) CM_TRY(cm_list_open(run, 0, &items));
    if (items.kind != VALUE_LIST)
        return cm_run_fail(run, "a loop over %s is not known to this version", cm_value_kind_name(&items));
    if (node->b) CM_TRY(choose_items(run, node, &items));
    for (size_t i = 0; i < items.list->n; i++) {
        CM_TRY(run_round(run, node, items.list, i));
        const enum flow flow = run->flow;
        run->flow = FLOW_ON;
        if (flow == FLOW_BREAK) break;
    }
    return items.list->n == 0 ? execute(run, node->otherwise) : CALMOE_OK;
}

static calmoe_status run_statement(struct run *run, const struct node *node)
{
    struct value  value;
    struct string text;
    switch (node->kind) {
    case NODE_TEXT: return cm_buffer_put(run, run->out, node->name);
    case NODE_OUTPUT:
        CM_TRY(evaluate(run, node->a, &value));
        CM_TRY(cm_value_text(run, &value, &text));
        return cm_buffer_put(run, run->out, text);
    case NODE_SET:
        CM_TRY(evaluate(run, node->b, &value));
        return assign(run, node->a, value);
    case NODE_CAPTURE:
        CM_TRY(capture(run, node->body, &value));
        return assign(run, node->a, value);
    case NODE_IF:
        CM_TRY(evaluate(run, node->a, &value));
        return execute(run, cm_value_is_true(&value) ? node->body : node->otherwise);
    case NODE_FOR: return run_for(run, node);
    case NODE_MACRO:
        value = (struct value){ .kind = VALUE_MACRO, .macro = node };
        return cm_record_put(run, &run->scope->variables, node->name, value);
    case NODE_BREAK: run->flow = FLOW_BREAK; return CALMOE_OK;
    case NODE_CONTINUE: run->flow = FLOW_CONTINUE; return CALMOE_OK;
    default: break;
    }
    return cm_run_fail(run, "a statement is not known to this version");
}

/* Statements one after the other, until one leaves the round of a loop. */
static calmoe_status execute(struct run *run, const struct node *first)
{
    for (const struct node *node = first; node && run->flow == FLOW_ON; node = node->next) {
        CM_TRY(enter(run, node));
        CM_TRY(run_statement(run, node));
        run->depth--;
    }
    return CALMOE_OK;
}

/* ---- macros ---- */

/* The value that a call gives to a macro's parameter: by place or by name. */
static const struct value *argument_for(const struct arguments *arguments, int place, struct string name)
{
    if (place < arguments->n && !arguments->names[place].text) return &arguments->values[place];
    for (int i = 0; i < arguments->n; i++)
        if (arguments->names[i].text && arguments->names[i].n == name.n &&
            !memcmp(arguments->names[i].text, name.text, name.n))
            return &arguments->values[i];
    return NULL;
}

static calmoe_status bind(struct run *run, const struct node *macro, const struct arguments *arguments)
{
    int place = 0, n_used = 0;
    for (const struct node *parameter = macro->list; parameter; parameter = parameter->next, place++) {
        struct value        value = { .kind = VALUE_UNDEFINED };
        const struct value *given = argument_for(arguments, place, parameter->name);
        if (given) value = *given;
        else if (parameter->a) CM_TRY(evaluate(run, parameter->a, &value));
        n_used += given != NULL;
        CM_TRY(cm_record_put(run, &run->scope->variables, parameter->name, value));
    }
    if (n_used != arguments->n)
        return cm_run_fail(run, "the macro '%.*s' has no such arguments", cm_string_shown(macro->name),
                           macro->name.text);
    return CALMOE_OK;
}

static calmoe_status call_macro(struct run *run, const struct node *macro, const struct arguments *arguments,
                                struct value *out)
{
    struct scope  scope = { .parent = run->global };
    struct scope *outer = run->scope;
    if (++run->n_calls > TEMPLATE_MAX_CALLS) return cm_run_fail(run, "too many macros call each other");
    run->scope = &scope;
    calmoe_status status = bind(run, macro, arguments);
    if (status == CALMOE_OK) status = capture(run, macro->body, out);
    run->scope = outer;
    run->n_calls--;
    return status;
}

/* ---- a rendering ---- */

static calmoe_status define(struct run *run, const char *name, struct value value)
{
    return cm_record_put(run, &run->global->variables, cm_string(name), value);
}

static calmoe_status define_messages(struct run *run)
{
    const struct template_input *input = run->input;
    struct value                 messages;
    CM_TRY(cm_list_open(run, (size_t)input->n_messages, &messages));
    for (int i = 0; i < input->n_messages; i++) {
        struct value *message = &messages.list->items[i];
        CM_TRY(cm_record_open(run, true, message));
        CM_TRY(cm_record_put(run, message->record, cm_string("role"),
                             cm_value_string(cm_string(input->messages[i].role))));
        CM_TRY(cm_record_put(run, message->record, cm_string("content"),
                             cm_value_string(cm_string(input->messages[i].content))));
    }
    return define(run, "messages", messages);
}

static calmoe_status render(struct run *run, const struct template *tmpl)
{
    CM_TRY(cm_define_functions(run));
    CM_TRY(define_messages(run));
    CM_TRY(define(run, "add_generation_prompt", cm_value_bool(true)));
    CM_TRY(define(run, "tools", (struct value){ .kind = VALUE_NONE }));
    CM_TRY(define(run, "documents", (struct value){ .kind = VALUE_NONE }));
    if (run->input->bos) CM_TRY(define(run, "bos_token", cm_value_string(cm_string(run->input->bos))));
    if (run->input->eos) CM_TRY(define(run, "eos_token", cm_value_string(cm_string(run->input->eos))));
    return execute(run, tmpl->body);
}

calmoe_status cm_template_render(struct calmoe_context *ctx, const struct template *tmpl,
                                 const struct template_input *input, char **out)
{
    struct text_buffer buffer = { NULL, 0, 0 };
    struct scope       global = { .parent = NULL };
    struct run         run = { .ctx = ctx, .input = input, .out = &buffer, .global = &global, .scope = &global,
                               .line = 1 };
    *out = NULL;
    calmoe_status status = render(&run, tmpl);
    if (status == CALMOE_OK) {
        *out = cm_copy_text(ctx, buffer.text ? buffer.text : "", buffer.n);
        if (!*out) status = CALMOE_NO_MEMORY;
    }
    cm_arena_close(&run.arena);
    return status;
}
