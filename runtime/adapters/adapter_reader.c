/* runtime/adapters/adapter_reader.c - see adapter_reader.h. */
#include "runtime/adapters/adapter_reader.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/sha256.h"
#include "runtime/adapters/adapter_parts.h"

static size_t n_floats_of_a(const struct adapter_pair *pair)
{
    return (size_t)pair->rank * (size_t)pair->target->shape[pair->is_embedding ? 1 : 0];
}

static size_t n_floats_of_b(const struct adapter_pair *pair)
{
    return (size_t)pair->rank * (size_t)(pair->is_embedding ? (int)pair->target->shape[0] : pair->n_rows);
}

static size_t n_floats_of_prefix(const struct adapter_prefix *prefix)
{
    return (size_t)prefix->n_positions * cm_prefix_n_floats(prefix);
}

/* Two adapters that differ anywhere have other fingerprints: all numbers are in it. */
static void make_fingerprint(struct adapter *adapter)
{
    struct sha256 sha = cm_sha256();
    char          hex[65];
    for (int i = 0; i < adapter->n_pairs; i++) {
        const struct adapter_pair *pair = &adapter->pairs[i];
        const int32_t head[] = {pair->is_embedding, pair->slice, pair->first_row, pair->n_rows, pair->rank};
        cm_sha256_add(&sha, pair->target->name, strlen(pair->target->name) + 1);
        cm_sha256_add(&sha, head, sizeof head);
        cm_sha256_add(&sha, &pair->scale, sizeof pair->scale);
        cm_sha256_add(&sha, pair->a, n_floats_of_a(pair) * sizeof *pair->a);
        cm_sha256_add(&sha, pair->b, n_floats_of_b(pair) * sizeof *pair->b);
    }
    const struct adapter_prefix *prefix = &adapter->prefix;
    const int32_t head[] = {prefix->n_positions, prefix->n_layers, prefix->n_heads, prefix->head_size};
    if (prefix->n_positions > 0) {
        cm_sha256_add(&sha, head, sizeof head);
        cm_sha256_add(&sha, prefix->numbers, n_floats_of_prefix(prefix) * sizeof *prefix->numbers);
    }
    cm_sha256_hex(&sha, hex);
    memcpy(adapter->fingerprint, hex, 16);
}

/* NaN and infinities would spread over everything that is computed. */
static calmoe_status check_numbers(const struct adapter_reading *reading)
{
    for (int i = 0; i < reading->out->n_pairs; i++) {
        const struct adapter_pair *pair = &reading->out->pairs[i];
        size_t n_bad = 0;
        for (size_t j = 0; j < n_floats_of_a(pair); j++) n_bad += isfinite(pair->a[j]) ? 0 : 1;
        for (size_t j = 0; j < n_floats_of_b(pair); j++) n_bad += isfinite(pair->b[j]) ? 0 : 1;
        if (n_bad > 0)
            return cm_fail(reading->ctx, CALMOE_NOT_FINITE, "'%s': what it adds to '%s' holds %zu NaN or infinities",
                           reading->name, pair->target->name, n_bad);
    }
    const struct adapter_prefix *prefix = &reading->out->prefix;
    size_t n_bad = 0;
    for (size_t j = 0; j < n_floats_of_prefix(prefix); j++) n_bad += isfinite(prefix->numbers[j]) ? 0 : 1;
    if (n_bad > 0)
        return cm_fail(reading->ctx, CALMOE_NOT_FINITE, "'%s': its keys and values hold %zu NaN or infinities",
                       reading->name, n_bad);
    return CALMOE_OK;
}

static calmoe_status read_adapter(const struct adapter_reading *reading)
{
    struct stat about;
    if (stat(reading->path, &about) != 0)
        return cm_fail(reading->ctx, CALMOE_IO, "cannot open '%s': %s", reading->path, strerror(errno));
    CM_TRY(S_ISDIR(about.st_mode) ? cm_adapter_read_folder(reading) : cm_adapter_read_file(reading));
    if (reading->out->n_pairs == 0 && reading->out->prefix.n_positions == 0)
        return cm_fail(reading->ctx, CALMOE_BAD_FILE, "'%s' is an adapter that changes nothing", reading->name);
    CM_TRY(check_numbers(reading));
    make_fingerprint(reading->out);
    return CALMOE_OK;
}

calmoe_status cm_adapter_open(struct calmoe_context *ctx, const struct adapter_model *model, const char *path,
                              struct adapter **out)
{
    const char *slash = strrchr(path, '/');
    *out = cm_alloc(ctx, 1, sizeof **out, "an adapter");
    if (!*out) return CALMOE_NO_MEMORY;
    const struct adapter_reading reading = {ctx, model, path, slash && slash[1] ? slash + 1 : path, *out};
    const calmoe_status status = read_adapter(&reading);
    if (status != CALMOE_OK) cm_adapter_close(out);
    return status;
}
