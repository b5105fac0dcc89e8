/* tensor_types.c - see tensor_types.h. Names are ggml's in small letters; sizes are of ggml's block structs. */
#include "runtime/load/tensor_types.h"

#include "kernels/weight_type.h"

/* Types that are no weight types here. Those of size 0 were taken out of ggml again, or are a fork's own. */
static const struct {
    uint32_t           file_id;
    struct tensor_type type;
} others[] = {
    {4, {"q4_2", 32, 0}},        {5, {"q4_3", 32, 0}},        {9, {"q8_1", 32, 36}},
    {15, {"q8_k", 256, 292}},    {24, {"i8", 1, 1}},          {25, {"i16", 1, 2}},
    {26, {"i32", 1, 4}},         {27, {"i64", 1, 8}},         {28, {"f64", 1, 8}},
    {31, {"q4_0_4_4", 32, 0}},   {32, {"q4_0_4_8", 32, 0}},   {33, {"q4_0_8_8", 32, 0}},
    {34, {"tq1_0", 256, 54}},    {35, {"tq2_0", 256, 66}},    {36, {"iq4_nl_4_4", 32, 0}},
    {37, {"iq4_nl_4_8", 32, 0}}, {38, {"iq4_nl_8_8", 32, 0}}, {40, {"nvfp4", 64, 36}},
    {41, {"q1_0", 128, 18}},     {42, {"q2_0", 64, 0}},       {133, {"q6_0", 32, 0}},
    {134, {"iq1_bn", 64, 0}},    {135, {"iq2_bn", 64, 0}},    {137, {"iq2_k", 256, 0}},
    {138, {"iq3_k", 256, 0}},    {139, {"iq4_k", 256, 0}},    {140, {"iq5_k", 256, 0}},
    {141, {"iq6_k", 256, 0}},    {144, {"iq4_ks", 256, 0}},   {145, {"iq2_ks", 256, 0}},
    {146, {"iq4_kss", 256, 0}},  {152, {"iq5_ks", 256, 0}},   {153, {"iq2_kt", 256, 0}},
    {154, {"iq3_kt", 256, 0}},   {155, {"iq4_kt", 256, 0}},   {156, {"iq3_ks", 256, 0}},
    {157, {"iq2_kl", 256, 0}},   {158, {"iq1_kt", 256, 0}},
};

bool cm_tensor_type_of(uint32_t file_id, struct tensor_type *out)
{
    enum weight_type type;
    if (cm_weight_type_of_file(file_id, &type)) {
        const struct weight_type_row *row = &cm_weight_types[type];
        *out = (struct tensor_type){row->name, (uint64_t)row->n_elements, (uint64_t)row->n_bytes};
        return true;
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (others[i].file_id != file_id) continue;
        *out = others[i].type;
        return true;
    }
    return false;
}

const char *cm_tensor_type_name(uint32_t file_id)
{
    struct tensor_type type;
    return cm_tensor_type_of(file_id, &type) ? type.name : "unknown";
}

bool cm_tensor_type_is_integer(uint32_t file_id)
{
    enum { FIRST_INTEGER = 24, LAST_INTEGER = 27 };
    return file_id >= FIRST_INTEGER && file_id <= LAST_INTEGER;
}
