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
    return cm_value_undefined();
}

static calmoe_status evaluate_list(struct run *run, const struct node *node, struct value *out)
{
    size_t n = 0;
    for (const struct node *item = node->list; item; item = item->next) n++;
    CM_TRY(cm_list_open(run, n, out));
    out->list->kind = node->is_tuple ? LIST_TUPLE : LIST_PLAIN;
    n = 0;
    for (const struct node *item = node->list; item; item = item->next)
        CM_TRY(evaluate(run, item, &out->list->items[n++]));
    return CALMOE_OK;
}

static calmoe_status evaluate_dict(struct run *run, const struct node *node, struct value *out)
{
    struct value key, value;
    CM_TRY(cm_record_open(run, RECORD_DICT, out));
    for (const struct node *item = node->list; item; item = item->next->next) {
        CM_TRY(evaluate(run, item, &key));
        CM_TRY(evaluate(run, item->next, &value));
        CM_TRY(cm_dict_put(run, out->record, &key, value));
    }
    return CALMOE_OK;
}

static calmoe_status add_argument(struct run *run, struct arguments *arguments, struct string name,
                                  const struct value *value)
{
    if (arguments->n == TEMPLATE_MAX_ARGUMENTS)
        return cm_run_fail(run, "a call has more than %d arguments", TEMPLATE_MAX_ARGUMENTS);
    arguments->names[arguments->n] = name;
    arguments->values[arguments->n++] = *value;
    return CALMOE_OK;
}

/* The items of *a, or the members of **a. */
static calmoe_status spread(struct run *run, const struct value *value, struct arguments *arguments)
{
    static const struct string no_name = { NULL, 0, NULL };
    struct value               items;
    if (cm_is_dict(value)) {
        for (const struct field *field = value->record->fields; field; field = field->next) {
            if (field->key.kind != VALUE_STRING) return cm_run_fail(run, "an argument's name is no text");
            CM_TRY(add_argument(run, arguments, field->key.string, &field->value));
        }
        return CALMOE_OK;
    }
    CM_TRY(cm_value_items(run, value, &items));
    for (size_t i = 0; i < items.list->n; i++) CM_TRY(add_argument(run, arguments, no_name, &items.list->items[i]));
    return CALMOE_OK;
}

static calmoe_status evaluate_arguments(struct run *run, const struct node *first, struct arguments *arguments)
{
    static const struct string no_name = { NULL, 0, NULL };
    struct value               value;
    arguments->n = 0;
    for (const struct node *node = first; node; node = node->next) {
        const bool is_keyword = node->kind == NODE_KEYWORD, is_spread = node->kind == NODE_SPREAD;
        CM_TRY(evaluate(run, is_keyword || is_spread ? node->a : node, &value));
        if (is_spread) CM_TRY(spread(run, &value, arguments));
        else CM_TRY(add_argument(run, arguments, is_keyword ? node->name : no_name, &value));
    }
    return CALMOE_OK;
}

static calmoe_status call_macro(struct run *run, const struct macro *macro, const struct arguments *arguments,
                                struct value *out);

static calmoe_status evaluate_call(struct run *run, const struct node *node, struct value *out)
{
    struct arguments arguments;
    struct value     called;
    CM_TRY(evaluate(run, node->a, &called));
    CM_TRY(evaluate_arguments(run, node->list, &arguments));
    run->line = node->line;
    if (called.kind == VALUE_MACRO) return call_macro(run, called.macro, &arguments, out);
    const bool is_method = called.kind == VALUE_METHOD;
    if (is_method || called.kind == VALUE_FUNCTION) {
        const struct call_row *row = is_method ? called.method->row : called.function;
        const struct call      call = { row->name, is_method ? called.method->subject : cm_value_none(), &arguments };
        CM_TRY(cm_run_count(run, 0));
        return row->call(run, &call, out);
    }
    const bool          is_dotted = node->a->kind == NODE_GET && node->a->is_dotted;
    const bool          is_part = is_dotted && node->a->b->value.kind == VALUE_STRING;
    const struct string name = node->a->kind == NODE_NAME ? node->a->name
                               : is_part                  ? node->a->b->value.string
                                                          : cm_string("this");
    return cm_run_fail(run, "'%.*s' is no %s that is known to this version", cm_string_shown(name), name.text,
                       is_part ? "method" : "function");
}

static calmoe_status evaluate_slice(struct run *run, const struct node *node, struct value *out)
{
    struct value             whole, bounds[3];
    const struct node *const parts[3] = { node->b, node->c, node->d };
    CM_TRY(evaluate(run, node->a, &whole));
    for (int i = 0; i < 3; i++) {
        bounds[i] = cm_value_none();
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
    if (!cm_is_number(&operand)) return cm_run_fail(run, "%s has no sign", cm_value_kind_name(&operand));
    if (operand.kind == VALUE_REAL) *out = cm_value_real(node->op == OP_NEGATE ? -operand.real : operand.real);
    else *out = cm_value_integer(node->op == OP_NEGATE ? -operand.number : operand.number);
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
    run->line = node->line;
    return node->kind == NODE_FILTER ? cm_call_filter(run, &subject, node->name, &arguments, out)
                                     : cm_call_test(run, &subject, node->name, &arguments, out);
}

static calmoe_status evaluate_choice(struct run *run, const struct node *node, struct value *out)
{
    struct value condition;
    CM_TRY(evaluate(run, node->a, &condition));
    if (cm_value_is_true(&condition)) return evaluate(run, node->b, out);
    *out = cm_value_undefined();
    return node->c ? evaluate(run, node->c, out) : CALMOE_OK;
}

static calmoe_status evaluate_kind(struct run *run, const struct node *node, struct value *out)
{
    switch (node->kind) {
    case NODE_CONSTANT: *out = node->value; return CALMOE_OK;
    case NODE_NAME: *out = find_variable(run, node->name); return CALMOE_OK;
    case NODE_LIST: return evaluate_list(run, node, out);
    case NODE_DICT: return evaluate_dict(run, node, out);
    case NODE_CAPTURED: *out = *run->captured; return CALMOE_OK;
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
    return cm_run_fail(run, "an expression is not known to this version");
}

/* Counts a step down the tree; each call has its own leave(). */
static calmoe_status enter(struct run *run, const struct node *node)
{
    run->line = node->line;
    CM_TRY(cm_run_count(run, 0));
    if (++run->depth > TEMPLATE_MAX_RUN_DEPTH) return cm_run_fail(run, "too much stands inside each other");
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

static calmoe_status open_scope(struct run *run, struct scope *parent, struct scope **out)
{
    CM_TRY(cm_arena_take(run->ctx, &run->arena, sizeof **out, out));
    (*out)->parent = parent;
    return CALMOE_OK;
}

/* Gives a value to a name, to a member of a namespace, or its parts to several targets. */
static calmoe_status assign(struct run *run, const struct node *target, const struct value *value)
{
    struct value items;
    size_t       n = 0;
    if (target->kind == NODE_NAME) return cm_record_put(run, &run->scope->variables, target->name, *value);
    if (target->kind == NODE_GET) {
        const struct value whole = find_variable(run, target->a->name);
        if (whole.kind != VALUE_RECORD || whole.record->kind != RECORD_NAMESPACE)
            return cm_run_fail(run, "a part is set of %s; only of a namespace it can be", cm_value_kind_name(&whole));
        return cm_record_put(run, whole.record, target->name, *value);
    }
    CM_TRY(cm_value_items(run, value, &items));
    for (const struct node *part = target->list; part; part = part->next) n++;
    if (items.list->n != n) return cm_run_fail(run, "%zu parts are wanted, found %zu", n, items.list->n);
    n = 0;
    for (const struct node *part = target->list; part; part = part->next)
        CM_TRY(assign(run, part, &items.list->items[n++]));
    return CALMOE_OK;
}

/* Lets body print into a text of its own, with variables of its own. */
static calmoe_status capture(struct run *run, const struct node *body, struct value *out)
{
    struct text_buffer  buffer = { .text = NULL };
    struct text_buffer *outer = run->out;
    struct scope       *scope = run->scope, *inner = NULL;
    CM_TRY(open_scope(run, scope, &inner));
    run->out = &buffer;
    run->scope = inner;
    const calmoe_status status = execute(run, body);
    run->out = outer;
    run->scope = scope;
    *out = cm_buffer_value(&buffer);
    return status;
}

/* The same, through filters if there are some. */
static calmoe_status capture_filtered(struct run *run, const struct node *node, struct value *out)
{
    struct value        plain;
    const struct value *outer = run->captured;
    CM_TRY(capture(run, node->body, &plain));
    *out = plain;
    if (!node->b) return CALMOE_OK;
    run->captured = &plain;
    CM_TRY(evaluate(run, node->b, out));
    run->captured = outer;
    return CALMOE_OK;
}

/* The items for which the loop's condition holds. */
static calmoe_status choose_items(struct run *run, const struct node *node, struct value *items)
{
    struct value  kept, holds;
    struct scope *outer = run->scope, *scope = NULL;
    CM_TRY(cm_list_open(run, 0, &kept));
    for (size_t i = 0; i < items->list->n; i++) {
        CM_TRY(open_scope(run, outer, &scope));
        run->scope = scope;
        CM_TRY(assign(run, node->c, &items->list->items[i]));
        CM_TRY(evaluate(run, node->b, &holds));
        run->scope = outer;
        if (cm_value_is_true(&holds)) CM_TRY(cm_list_put(run, kept.list, items->list->items[i]));
    }
    *items = kept;
    return CALMOE_OK;
}

static calmoe_status run_round(struct run *run, const struct node *node, const struct value *loop,
                               const struct value *item)
{
    struct scope *outer = run->scope, *scope = NULL;
    CM_TRY(open_scope(run, outer, &scope));
    run->scope = scope;
    CM_TRY(cm_record_put(run, &scope->variables, cm_string("loop"), *loop));
    CM_TRY(assign(run, node->c, item));
    CM_TRY(execute(run, node->body));
    run->scope = outer;
    return CALMOE_OK;
}

/* {% else %} runs where no round came to its end, be it that all were left by continue or break. */
static calmoe_status run_for(struct run *run, const struct node *node)
{
    struct value walked, items, loop = { .kind = VALUE_LOOP };
    bool         is_else = true;
    CM_TRY(evaluate(run, node->a, &walked));
    CM_TRY(cm_value_items(run, &walked, &items));
    if (node->b) CM_TRY(choose_items(run, node, &items));
    CM_TRY(cm_arena_take(run->ctx, &run->arena, sizeof *loop.loop, &loop.loop));
    *loop.loop = (struct loop){ items.list, 0 };
    for (size_t i = 0; i < items.list->n; i++) {
        loop.loop->at = i;
        CM_TRY(run_round(run, node, &loop, &items.list->items[i]));
        const enum flow flow = run->flow;
        run->flow = FLOW_ON;
        if (flow == FLOW_ON) is_else = false;
        if (flow == FLOW_BREAK) break;
    }
    return is_else && node->otherwise ? execute(run, node->otherwise) : CALMOE_OK;
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
        return assign(run, node->a, &value);
    case NODE_CAPTURE:
        CM_TRY(capture_filtered(run, node, &value));
        return assign(run, node->a, &value);
    case NODE_FILTERED:
    case NODE_SCOPE:
        CM_TRY(capture_filtered(run, node, &value));
        CM_TRY(cm_value_text(run, &value, &text));
        return cm_buffer_put(run, run->out, text);
    case NODE_IF:
        CM_TRY(evaluate(run, node->a, &value));
        return execute(run, cm_value_is_true(&value) ? node->body : node->otherwise);
    case NODE_FOR: return run_for(run, node);
    case NODE_MACRO:
        value = (struct value){ .kind = VALUE_MACRO };
        CM_TRY(cm_arena_take(run->ctx, &run->arena, sizeof *value.macro, &value.macro));
        *value.macro = (struct macro){ node, run->scope };
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
    for (const struct node *parameter = macro->list; parameter; parameter = parameter->next)
        CM_TRY(cm_record_put(run, &run->scope->variables, parameter->name, cm_value_undefined()));
    for (const struct node *parameter = macro->list; parameter; parameter = parameter->next, place++) {
        struct value        value = cm_value_undefined();
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

static calmoe_status call_macro(struct run *run, const struct macro *macro, const struct arguments *arguments,
                                struct value *out)
{
    struct scope *outer = run->scope, *scope = NULL;
    if (++run->n_calls > TEMPLATE_MAX_CALLS) return cm_run_fail(run, "too many macros call each other");
    CM_TRY(open_scope(run, macro->scope, &scope));
    run->scope = scope;
    CM_TRY(bind(run, macro->node, arguments));
    CM_TRY(capture(run, macro->node->body, out));
    run->scope = outer;
    run->flow = FLOW_ON;
    run->n_calls--;
    return CALMOE_OK;
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
        CM_TRY(cm_record_open(run, RECORD_DICT, message));
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
    CM_TRY(define(run, "add_generation_prompt", cm_value_bool(true)));
    CM_TRY(define(run, "tools", cm_value_none()));
    CM_TRY(define(run, "documents", cm_value_none()));
    if (run->input->bos) CM_TRY(define(run, "bos_token", cm_value_string(cm_string(run->input->bos))));
    if (run->input->eos) CM_TRY(define(run, "eos_token", cm_value_string(cm_string(run->input->eos))));
    CM_TRY(run->input->define ? run->input->define(run, run->input->user) : define_messages(run));
    return execute(run, tmpl->body);
}

/* A copy outside of the run's memory. */
static calmoe_status hand_out(struct calmoe_context *ctx, const struct text_buffer *buffer, struct template_text *out)
{
    out->n = buffer->n;
    out->text = cm_copy_text(ctx, buffer->text ? buffer->text : "", buffer->n);
    out->marks = out->text ? cm_alloc(ctx, buffer->n, 1, "a conversation") : NULL;
    if (!out->marks) {
        cm_template_text_close(out);
        return CALMOE_NO_MEMORY;
    }
    if (buffer->n > 0) memcpy(out->marks, buffer->marks, buffer->n);
    return CALMOE_OK;
}

void cm_template_text_close(struct template_text *text)
{
    cm_free(text->text);
    cm_free(text->marks);
    *text = (struct template_text){ NULL, NULL, 0 };
}

/* Lets print write into a text: the template's tree, or what else makes one. */
static calmoe_status write(struct calmoe_context *ctx, const struct template_input *input, const struct template *tmpl,
                           calmoe_status (*print)(struct run *run, const void *user), const void *user,
                           struct template_text *out)
{
    struct text_buffer buffer = { .text = NULL };
    struct scope       global = { .parent = NULL };
    struct run         run = { .ctx = ctx, .input = input, .out = &buffer, .global = &global, .scope = &global,
                               .line = 1, .methods_of = cm_methods_of };
    *out = (struct template_text){ NULL, NULL, 0 };
    run.arena.n_more = input->n_bytes * TEMPLATE_MEMORY_FACTOR;
    calmoe_status status = tmpl ? render(&run, tmpl) : print(&run, user);
    if (status == CALMOE_OK) status = hand_out(ctx, &buffer, out);
    cm_arena_close(&run.arena);
    return status;
}

calmoe_status cm_template_render(struct calmoe_context *ctx, const struct template *tmpl,
                                 const struct template_input *input, struct template_text *out)
{
    return write(ctx, input, tmpl, NULL, NULL, out);
}

calmoe_status cm_template_print(struct calmoe_context *ctx, const struct template_input *input,
                                calmoe_status (*print)(struct run *run, const void *user), const void *user,
                                struct template_text *out)
{
    return write(ctx, input, NULL, print, user, out);
}
