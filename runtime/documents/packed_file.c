/* runtime/documents/packed_file.c - see packed_file.h. */
#include "runtime/documents/packed_file.h"

#include <inttypes.h>
#include <string.h>

#include <calmoe/version.h>

#include "base/checksum.h"
#include "base/memory.h"
#include "base/sha256.h"

enum { MAGIC = 0, VERSION = 16, FINGERPRINT = 32, COUNTS = 64, FILE_BYTES = 72, SHA = 80, TABLE = 144, ENTRY = 32 };
static const char magic[16] = "calmoe.packed.1";

static uint64_t number_at(const uint8_t *at, int n_bytes)
{
    uint64_t number = 0;
    for (int i = n_bytes - 1; i >= 0; i--) number = number << 8 | at[i];
    return number;
}

static void put_number(uint8_t *at, int n_bytes, uint64_t number)
{
    for (int i = 0; i < n_bytes; i++, number >>= 8) at[i] = (uint8_t)number;
}

static uint64_t up(uint64_t n) { return (n + PACKED_ALIGNMENT - 1) / PACKED_ALIGNMENT * PACKED_ALIGNMENT; }

static size_t n_entries(const struct packed_experts *packed)
{
    return (size_t)packed->n_layers * (size_t)packed->n_experts;
}

static size_t header_bytes(const struct packed_experts *packed)
{
    return (size_t)up(TABLE + n_entries(packed) * ENTRY);
}

/* Of the header, its own place counted as zeros. */
static void sha_of(const uint8_t *header, size_t n_bytes, char hex[65])
{
    static const uint8_t zeros[TABLE - SHA];
    struct sha256        sha = cm_sha256();
    cm_sha256_add(&sha, header, SHA);
    cm_sha256_add(&sha, zeros, sizeof zeros);
    cm_sha256_add(&sha, header + TABLE, n_bytes - TABLE);
    cm_sha256_hex(&sha, hex);
}

/* ---- reading ---- */

static calmoe_status bad(struct calmoe_context *ctx, const char *path, const char *what)
{
    return cm_fail(ctx, CALMOE_BAD_FILE, "'%s' %s; calmoe pack writes it anew", path, what);
}

static calmoe_status read_head(struct calmoe_context *ctx, const char *path, const uint8_t *header,
                               struct packed_experts *out)
{
    char version[FINGERPRINT - VERSION + 1] = "";
    if (out->map.n_bytes < TABLE || memcmp(header + MAGIC, magic, sizeof magic) != 0)
        return cm_fail(ctx, CALMOE_BAD_FILE, "'%s' holds no packed experts", path);
    memcpy(version, header + VERSION, FINGERPRINT - VERSION);
    if (strcmp(version, CALMOE_VERSION_TEXT) != 0)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "'%s' was written by version %s, and this is %s; calmoe pack "
                       "writes it anew", path, version, CALMOE_VERSION_TEXT);
    if (number_at(header + FILE_BYTES, 8) != out->map.n_bytes) return bad(ctx, path, "was cut short, or is damaged");
    const uint64_t n_layers = number_at(header + COUNTS, 4), n_experts = number_at(header + COUNTS + 4, 4);
    if (n_layers > PACKED_MAX_LAYERS || n_experts > PACKED_MAX_EXPERTS) return bad(ctx, path, "is damaged");
    out->n_layers = (int)n_layers;
    out->n_experts = (int)n_experts;
    memcpy(out->fingerprint, header + FINGERPRINT, sizeof out->fingerprint - 1);
    return CALMOE_OK;
}

static calmoe_status read_header(struct calmoe_context *ctx, const char *path, struct packed_experts *out)
{
    const uint8_t *header = out->map.bytes;
    char           hex[65];
    CM_TRY(read_head(ctx, path, header, out));
    const size_t n_bytes = header_bytes(out);
    if (n_bytes > out->map.n_bytes) return bad(ctx, path, "was cut short, or is damaged");
    sha_of(header, n_bytes, hex);
    if (memcmp(hex, header + SHA, TABLE - SHA) != 0) return bad(ctx, path, "is damaged");
    out->experts = cm_alloc(ctx, n_entries(out), sizeof *out->experts, "packed experts");
    if (!out->experts) return CALMOE_NO_MEMORY;
    for (size_t i = 0; i < n_entries(out); i++) {
        const uint8_t        *at = header + TABLE + i * ENTRY;
        struct packed_expert *expert = &out->experts[i];
        *expert = (struct packed_expert){number_at(at, 8), number_at(at + 8, 8), number_at(at + 16, 8),
                                         number_at(at + 24, 8)};
        if (expert->n_bytes == 0) continue;
        if (expert->at % PACKED_ALIGNMENT != 0 || expert->at < n_bytes || expert->at > out->map.n_bytes ||
            expert->n_bytes > out->map.n_bytes - expert->at)
            return bad(ctx, path, "is damaged");
    }
    return CALMOE_OK;
}

calmoe_status cm_packed_file_open(struct calmoe_context *ctx, const char *path, struct packed_experts *out)
{
    *out = (struct packed_experts){0};
    CM_TRY(cm_file_map_open(ctx, path, &out->map));
    const calmoe_status status = read_header(ctx, path, out);
    if (status != CALMOE_OK) cm_packed_file_close(out);
    return status;
}

void cm_packed_file_close(struct packed_experts *packed)
{
    cm_file_map_close(&packed->map);
    cm_free(packed->experts);
    *packed = (struct packed_experts){0};
}

calmoe_status cm_packed_file_check(struct calmoe_context *ctx, const struct packed_experts *packed)
{
    for (size_t i = 0; i < n_entries(packed); i++) {
        const struct packed_expert *expert = &packed->experts[i];
        if (cm_checksum(packed->map.bytes + expert->at, (size_t)expert->n_bytes) != expert->checksum && expert->n_bytes)
            return cm_fail(ctx, CALMOE_BAD_FILE, "expert %zu of layer %zu is damaged, at byte %" PRIu64
                           " of the packed file; calmoe pack writes it anew", i % (size_t)packed->n_experts,
                           i / (size_t)packed->n_experts, expert->at);
    }
    return CALMOE_OK;
}

/* ---- writing ---- */

static void put_zeros(struct packed_writer *writer, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) putc(0, writer->file->stream);
    writer->n_bytes += n;
}

calmoe_status cm_packed_begin(struct calmoe_context *ctx, struct packed_writer *writer)
{
    writer->n_bytes = 0;
    put_zeros(writer, header_bytes(writer->packed));
    return cm_whole_file_check(ctx, writer->file);
}

calmoe_status cm_packed_add(struct calmoe_context *ctx, struct packed_writer *writer, int layer, int expert,
                            uint64_t layout, const void *bytes, size_t n_bytes)
{
    const size_t i = (size_t)layer * (size_t)writer->packed->n_experts + (size_t)expert;
    writer->packed->experts[i] =
        (struct packed_expert){writer->n_bytes, n_bytes, cm_checksum(bytes, n_bytes), layout};
    fwrite(bytes, 1, n_bytes, writer->file->stream);
    writer->n_bytes += n_bytes;
    put_zeros(writer, up(n_bytes) - n_bytes);
    return cm_whole_file_check(ctx, writer->file);
}

calmoe_status cm_packed_end(struct calmoe_context *ctx, struct packed_writer *writer)
{
    const struct packed_experts *packed = writer->packed;
    const size_t n_bytes = header_bytes(packed);
    uint8_t     *header = cm_alloc(ctx, n_bytes, 1, "packed experts");
    char         hex[65];
    if (!header) return CALMOE_NO_MEMORY;
    memcpy(header + MAGIC, magic, sizeof magic);
    memcpy(header + VERSION, CALMOE_VERSION_TEXT, sizeof CALMOE_VERSION_TEXT);
    memcpy(header + FINGERPRINT, packed->fingerprint, sizeof packed->fingerprint);
    put_number(header + COUNTS, 4, (uint64_t)packed->n_layers);
    put_number(header + COUNTS + 4, 4, (uint64_t)packed->n_experts);
    put_number(header + FILE_BYTES, 8, writer->n_bytes);
    for (size_t i = 0; i < n_entries(packed); i++) {
        const struct packed_expert *expert = &packed->experts[i];
        const uint64_t numbers[] = {expert->at, expert->n_bytes, expert->checksum, expert->layout};
        for (int j = 0; j < 4; j++) put_number(header + TABLE + i * ENTRY + (size_t)j * 8, 8, numbers[j]);
    }
    sha_of(header, n_bytes, hex);
    memcpy(header + SHA, hex, TABLE - SHA);
    if (fseek(writer->file->stream, 0, SEEK_SET) == 0) fwrite(header, 1, n_bytes, writer->file->stream);
    cm_free(header);
    return cm_whole_file_check(ctx, writer->file);
}
