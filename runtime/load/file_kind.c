/* file_kind.c - see file_kind.h. Kinds are told by their first bytes, as the formats' documents name them. */
#include "runtime/load/file_kind.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- files that are not GGUF ---- */

static const struct magic {
    size_t        at;      /* where the bytes stand in the file */
    const char   *bytes;   /* (n_bytes)                         */
    size_t        n_bytes;
    calmoe_status status;
    const char   *what;    /* the sentence's end: "'FILE' is …" */
} magics[] = {
#define CONVERT "convert the model to GGUF"
#define UNPACK  "unpack it"
#define MAGIC(at, bytes, status, what) {at, bytes, sizeof bytes - 1, CALMOE_##status, what}
    MAGIC(0, "version https://git-lfs.github.com/spec/", BAD_FILE,
          "a Git LFS pointer, a text that stands for the model; fetch the model itself with 'git lfs pull'"),
    MAGIC(0, "PK\3\4", UNSUPPORTED,
          "a ZIP archive, as PyTorch checkpoints (.bin, .pt, .pth) are; " CONVERT ", or unpack it if it holds one"),
    MAGIC(0, "\x80\2", UNSUPPORTED, "a Python pickle, as old PyTorch checkpoints (.bin, .pt, .pth) are; " CONVERT),
    MAGIC(0, "\x80\4\x95", UNSUPPORTED, "a Python pickle; " CONVERT),
    MAGIC(0, "\x80\5\x95", UNSUPPORTED, "a Python pickle; " CONVERT),
#define OLD(letters, turned)                                                                                    \
    MAGIC(0, letters, UNSUPPORTED, "a model in '" letters "', a format of 2023 from before GGUF; " CONVERT),    \
    MAGIC(0, turned, UNSUPPORTED, "a model in '" letters "', a format of 2023 from before GGUF; " CONVERT)
    OLD("ggml", "lmgg"), OLD("ggmf", "fmgg"), OLD("ggjt", "tjgg"),
    MAGIC(0, "ggla", UNSUPPORTED, "an adapter (LoRA) in a format of 2023 from before GGUF; give a model"),
    MAGIC(0, "algg", UNSUPPORTED, "an adapter (LoRA) in a format of 2023 from before GGUF; give a model"),
    MAGIC(0, "\x89HDF\r\n\x1a\n", UNSUPPORTED, "an HDF5 file, as Keras models are; " CONVERT),
    MAGIC(0, "\x93NUMPY", UNSUPPORTED, "a NumPy array; " CONVERT),
    MAGIC(4, "TFL3", UNSUPPORTED, "a TensorFlow Lite model; " CONVERT),
    MAGIC(0, "MZqFpD", UNSUPPORTED,
          "a llamafile, a program with a model packed into it; take the GGUF file out with 'unzip'"),
    MAGIC(0, "\x7f""ELF", BAD_FILE, "a program or library, not a model"),
    MAGIC(0, "\x1f\x8b", BAD_FILE, "compressed by gzip; " UNPACK),
    MAGIC(0, "\x28\xb5\x2f\xfd", BAD_FILE, "compressed by zstd; " UNPACK),
    MAGIC(0, "\xfd""7zXZ", BAD_FILE, "compressed by xz; " UNPACK),
    MAGIC(0, "BZh", BAD_FILE, "compressed by bzip2; " UNPACK),
    MAGIC(0, "7z\xbc\xaf\x27\x1c", BAD_FILE, "a 7z archive; " UNPACK),
    MAGIC(0, "Rar!", BAD_FILE, "a RAR archive; " UNPACK),
    MAGIC(257, "ustar", BAD_FILE, "a tar archive; " UNPACK),
#undef OLD
#undef MAGIC
};

enum { LOOKED_AT = 4096 };

static bool is_all_zeros(const uint8_t *bytes, size_t n_bytes)
{
    size_t i = 0;
    while (i < n_bytes && i < LOOKED_AT && bytes[i] == 0) i++;
    return i == n_bytes || i == LOOKED_AT;
}

/* No byte that texts do not have; UTF-8 is not checked, for its lead bytes may be cut. */
static bool is_text(const uint8_t *bytes, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes && i < LOOKED_AT; i++)
        if (bytes[i] == 0x7f || (bytes[i] < 0x20 && !strchr("\t\n\r\f", bytes[i])) || bytes[i] == 0) return false;
    return true;
}

/* 8 bytes of length, then so much JSON. */
static bool is_safetensors(const uint8_t *bytes, size_t n_bytes)
{
    uint64_t n = 0;
    if (n_bytes < 10 || bytes[8] != '{') return false;
    for (int i = 7; i >= 0; i--) n = n << 8 | bytes[i];
    return n >= 2 && n <= n_bytes - 8;
}

static bool begins_with(const char *text, size_t n_text, const char *word)
{
    return n_text >= strlen(word) && strncasecmp(text, word, strlen(word)) == 0;
}

static const char *kind_of_text(const uint8_t *bytes, size_t n_bytes)
{
    const char *text = (const char *)bytes;
    while (n_bytes > 0 && (isspace((unsigned char)*text) || strchr("\xef\xbb\xbf", *text))) text++, n_bytes--;
    if (begins_with(text, n_bytes, "<!doctype html") || begins_with(text, n_bytes, "<html"))
        return "an HTML page, not a model; it was saved in place of the file that it links to";
    if (begins_with(text, n_bytes, "<?xml"))
        return "an XML text, not a model; servers answer so when they refuse a file";
    if (begins_with(text, n_bytes, "{"))
        return "a JSON text, not a model; give the model file that it belongs to";
    return "a text, not a model";
}

calmoe_status cm_fail_not_gguf(struct calmoe_context *ctx, const char *name, const uint8_t *bytes, size_t n_bytes)
{
    if (n_bytes == 0) return cm_fail(ctx, CALMOE_BAD_FILE, "'%s' is an empty file; wanted a GGUF model", name);
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++) {
        const struct magic *magic = &magics[i];
        if (n_bytes >= magic->at + magic->n_bytes && memcmp(bytes + magic->at, magic->bytes, magic->n_bytes) == 0)
            return cm_fail(ctx, magic->status, "'%s' is %s", name, magic->what);
    }
    if (is_safetensors(bytes, n_bytes))
        return cm_fail(ctx, CALMOE_UNSUPPORTED, "'%s' is a safetensors file; " CONVERT, name);
    if (is_all_zeros(bytes, n_bytes))
        return cm_fail(ctx, CALMOE_BAD_FILE, "'%s' is full of zeros, as a download that is not finished can be", name);
    if (is_text(bytes, n_bytes))
        return cm_fail(ctx, CALMOE_BAD_FILE, "'%s' is %s", name, kind_of_text(bytes, n_bytes));
    char   shown[16] = "";
    size_t n_shown = 0;
    for (size_t i = 0; i < 4 && i < n_bytes; i++)
        n_shown += (size_t)snprintf(shown + n_shown, sizeof shown - n_shown, " %02x", bytes[i]);
    return cm_fail(ctx, CALMOE_BAD_FILE, "'%s' is no GGUF file: it begins with the bytes%s, wanted 'GGUF'%s", name,
                   shown, cm_hint_of_name(name));
}

/* ---- names ---- */

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcasecmp(text + n - m, end) == 0;
}

/* "model.gguf.part2of3", "model-split-b": cut by size, with no header of their own. */
static bool is_named_as_piece(const char *name)
{
    int         part, count, n_read = 0;
    const char *split = strstr(name, "-split-");
    for (const char *at = strstr(name, "part"); at; at = strstr(at + 1, "part"))
        if (sscanf(at, "part%9dof%9d%n", &part, &count, &n_read) == 2 && at[n_read] == '\0') return true;
    return split && isalpha((unsigned char)split[7]) && split[8] == '\0';
}

const char *cm_hint_of_name(const char *name)
{
    static const char *const unfinished[] = {".part",       ".partial", ".crdownload", ".download",
                                             ".incomplete", ".aria2",   ".tmp"};
    if (is_named_as_piece(name))
        return "; by its name it is one of several pieces, which are to be joined (cat) first";
    for (size_t i = 0; i < sizeof unfinished / sizeof unfinished[0]; i++)
        if (ends_with(name, unfinished[i])) return "; by its name it is a download that is not finished";
    return "";
}

/* ---- GGUF files that hold no model ---- */

static const struct kind {
    const char *key, *value; /* an entry of the metadata; value NULL: any */
    const char *what;        /* "'FILE' is …"                             */
} kinds[] = {
#define ADAPTER   "an adapter (LoRA): it changes a model and is none; give it beside the model, as calmoe run --lora does"
#define PROJECTOR "a projector (mmproj), which reads images or sound for a model; give the language model's file"
#define MATRIX    "an importance matrix, which quantizers read; give a model"
    {"general.type", "adapter", ADAPTER},
    {"adapter.type", NULL, ADAPTER},
    {"general.type", "mmproj", PROJECTOR},
    {"general.type", "clip-vision", PROJECTOR},
    {"general.architecture", "clip", PROJECTOR},
    {"general.architecture", "controlvector",
     "a control vector: it steers a model and is none; control vectors are not applied by this version"},
    {"general.type", "imatrix", MATRIX},
    {"imatrix.chunk_count", NULL, MATRIX},
};

static bool has_entry(const struct model_file *file, const struct kind *kind)
{
    const struct meta_entry *entry = cm_meta_entry(file, kind->key);
    if (!entry || !kind->value) return entry != NULL;
    return entry->type == META_STRING && entry->strings[0].n_bytes == strlen(kind->value) &&
           memcmp(entry->strings[0].bytes, kind->value, strlen(kind->value)) == 0;
}

calmoe_status cm_check_holds_model(struct calmoe_context *ctx, const struct model_file *file, bool vocabulary_will_do)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (has_entry(file, &kinds[i]))
            return cm_fail(ctx, CALMOE_UNSUPPORTED, "'%s' is %s", file->name, kinds[i].what);
    for (uint64_t i = 0; i < file->n_tensors; i++)
        if (ends_with(file->tensors[i].name, ".lora_a"))
            return cm_fail(ctx, CALMOE_UNSUPPORTED, "'%s' is %s", file->name, ADAPTER);
    if (file->n_tensors == 0 && !vocabulary_will_do)
        return cm_fail(ctx, CALMOE_UNSUPPORTED, "'%s' holds no weights, only %s", file->name,
                       cm_meta_entry(file, "tokenizer.ggml.tokens") ? "a vocabulary" : "metadata");
    return CALMOE_OK;
}
