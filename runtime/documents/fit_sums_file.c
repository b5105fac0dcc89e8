/* fit_sums_file.c - see fit_sums_file.h. */
#include "runtime/documents/fit_sums_file.h"

#include <stdio.h>
#include <string.h>

#include "base/sha256.h"
#include "base/whole_file.h"

enum { DIGITS = 64, PIECE_DOUBLES = 8192 };

static const char magic[8] = "CALMOEFS";

struct stream {
    FILE         *file;
    struct sha256 sha;
};

static void put(struct stream *stream, const void *bytes, size_t n_bytes)
{
    cm_sha256_add(&stream->sha, bytes, n_bytes);
    fwrite(bytes, 1, n_bytes, stream->file); /* errors stay in the stream; checked at the end */
}

static void put_u64(struct stream *stream, uint64_t number) { put(stream, &number, sizeof number); }

static void write_all(struct stream *stream, const struct fit_sums *sums)
{
    char digest[DIGITS + 1];
    put(stream, magic, sizeof magic);
    put_u64(stream, 1);
    put(stream, sums->key, DIGITS);
    put_u64(stream, sums->n_windows);
    put_u64(stream, (uint64_t)sums->n_parts * sums->n_doubles);
    for (int i = 0; i < sums->n_parts; i++) put(stream, sums->parts[i], (size_t)sums->n_doubles * sizeof(double));
    cm_sha256_hex(&stream->sha, digest);
    put(stream, digest, DIGITS);
}

calmoe_status cm_fit_sums_write(struct calmoe_context *ctx, const char *path, const struct fit_sums *sums)
{
    struct whole_file file;
    CM_TRY(cm_whole_file_open(ctx, path, &file));
    struct stream stream = {file.stream, cm_sha256()};
    write_all(&stream, sums);
    const calmoe_status status = cm_whole_file_finish(ctx, &file);
    cm_whole_file_close(&file);
    return status;
}

static bool get(struct stream *stream, void *bytes, size_t n_bytes)
{
    if (fread(bytes, 1, n_bytes, stream->file) != n_bytes) return false;
    cm_sha256_add(&stream->sha, bytes, n_bytes);
    return true;
}

static bool read_head(struct stream *stream, const struct fit_sums *sums, uint64_t *n_windows)
{
    char     found[sizeof magic], key[DIGITS];
    uint64_t version, n_doubles;
    return get(stream, found, sizeof found) && memcmp(found, magic, sizeof magic) == 0 &&
           get(stream, &version, sizeof version) && version == 1 && get(stream, key, DIGITS) &&
           memcmp(key, sums->key, DIGITS) == 0 && get(stream, n_windows, sizeof *n_windows) &&
           get(stream, &n_doubles, sizeof n_doubles) && n_doubles == (uint64_t)sums->n_parts * sums->n_doubles;
}

static bool read_digest(struct stream *stream)
{
    char digest[DIGITS + 1], found[DIGITS];
    cm_sha256_hex(&stream->sha, digest);
    return fread(found, 1, DIGITS, stream->file) == DIGITS && memcmp(found, digest, DIGITS) == 0 &&
           fgetc(stream->file) == EOF;
}

/* The doubles are read twice: first for the digest alone, so that a broken file changes nothing. */
static bool read_sums(struct stream *stream, struct fit_sums *sums)
{
    double   piece[PIECE_DOUBLES];
    uint64_t n_windows;
    if (!read_head(stream, sums, &n_windows)) return false;
    const long at = ftell(stream->file);
    for (uint64_t left = (uint64_t)sums->n_parts * sums->n_doubles, n; left > 0; left -= n) {
        n = left < PIECE_DOUBLES ? left : PIECE_DOUBLES;
        if (!get(stream, piece, (size_t)n * sizeof *piece)) return false;
    }
    if (at < 0 || !read_digest(stream) || fseek(stream->file, at, SEEK_SET) != 0) return false;
    for (int i = 0; i < sums->n_parts; i++)
        if (!get(stream, sums->parts[i], (size_t)sums->n_doubles * sizeof(double))) return false;
    sums->n_windows = n_windows;
    return true;
}

bool cm_fit_sums_read(const char *path, struct fit_sums *sums)
{
    struct stream stream = {fopen(path, "rbe"), cm_sha256()};
    if (!stream.file) return false;
    const bool is_fine = read_sums(&stream, sums);
    fclose(stream.file);
    return is_fine;
}
