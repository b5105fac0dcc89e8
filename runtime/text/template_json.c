/* template_json.c - values of JSON as values of templates. */
#include "runtime/documents/json.h"
#include "runtime/text/template_parts.h"

static calmoe_status convert_text(struct run *run, const char *text, size_t n, unsigned char mark, struct value *out)
{
    struct text_buffer buffer = { .text = NULL };
    CM_TRY(cm_run_count(run, n));
    CM_TRY(cm_buffer_put_marked(run, &buffer, text, n, mark));
    *out = cm_buffer_value(&buffer);
    return CALMOE_OK;
}

static calmoe_status convert_array(struct run *run, const struct json_value *json, unsigned char mark,
                                   struct value *out)
{
    const size_t n = cm_json_length(json);
    CM_TRY(cm_list_open(run, n, out));
    for (size_t i = 0; i < n; i++) {
        const struct json_value element = cm_json_element(json, i);
        CM_TRY(cm_value_of_json(run, &element, mark, &out->list->items[i]));
    }
    return CALMOE_OK;
}

static calmoe_status convert_object(struct run *run, const struct json_value *json, unsigned char mark,
                                    struct value *out)
{
    struct json_value member = {0};
    CM_TRY(cm_record_open(run, RECORD_DICT, out));
    while (cm_json_next(json, &member)) {
        struct value key, value;
        CM_TRY(convert_text(run, member.key, cm_string(member.key).n, mark, &key));
        CM_TRY(cm_value_of_json(run, &member, mark, &value));
        CM_TRY(cm_dict_put(run, out->record, &key, value));
    }
    return CALMOE_OK;
}

static calmoe_status convert(struct run *run, const struct json_value *json, unsigned char mark, struct value *out)
{
    const char *text;
    size_t      n;
    switch (cm_json_sort(json)) {
    case JSON_IS_ABSENT: *out = cm_value_undefined(); break;
    case JSON_IS_NULL: *out = cm_value_none(); break;
    case JSON_IS_BOOL: *out = cm_value_bool(cm_json_integer(json) != 0); break;
    case JSON_IS_INTEGER: *out = cm_value_integer(cm_json_integer(json)); break;
    case JSON_IS_REAL: *out = cm_value_real(cm_json_real(json)); break;
    case JSON_IS_TEXT:
        text = cm_json_bytes(json, &n);
        return convert_text(run, text, n, mark, out);
    case JSON_IS_ARRAY: return convert_array(run, json, mark, out);
    case JSON_IS_OBJECT: return convert_object(run, json, mark, out);
    }
    return CALMOE_OK;
}

calmoe_status cm_value_of_json(struct run *run, const struct json_value *json, unsigned char mark, struct value *out)
{
    CM_TRY(cm_run_count(run, 0));
    if (++run->depth > TEMPLATE_MAX_RUN_DEPTH)
        return cm_run_fail(run, "the conversation has too much inside each other");
    CM_TRY(convert(run, json, mark, out));
    run->depth--;
    return CALMOE_OK;
}
