/* runtime/engine/session_file.c - sessions in files: saved, and restored by an engine of the same model.
 *
 *     head        struct head
 *     source      struct source_head, name, text: where its text comes from; of a session that says so (version 2)
 *     adapters    of a session with any (version 2): their number (uint32), then of each struct used: without the
 *                 adapters themselves, which are found by their fingerprints
 *     tokens      int32 (n_tokens): those that are read, then those that are pending
 *     texts       of the last turn of a conversation: the system's, the user's
 *     state       of the tokens that are read: cm_sequence_state_write()
 *     digest      SHA-256 of all before, as 64 hex digits
 *
 * What a file says is checked before it is believed: each number of the head against its bounds, their sum against the
 * length of the file, tokens against the vocabulary, and at last the digest. Rows that wait are run before a session is
 * saved, which changes no bit, since they might have been at any step: so a file has no states between two layers, and
 * does not depend on a policy. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/file_map.h"
#include "base/memory.h"
#include "base/options.h"
#include "base/whole_file.h"
#include "runtime/engine/followers.h"

enum { VERSION = 1, VERSION_WITH_MORE = 2, DIGITS = 64, FINGERPRINT = 16, MAX_TEXT_BYTES = 1 << 26 };

enum { /* flags */
    HAS_ENDED = 1,  /* the answer                                                           */
    IS_FULL = 2,    /* no room was left for the last token                                  */
    HAS_TURNS = 4,
    HAS_USER = 8,   /* the last turn is in the session: what turn_… say                     */
    IS_FIRST = 16,  /* it opened the conversation                                           */
    HAS_SYSTEM = 32,
    HAS_ADAPTERS = 64, /* this and the next: one of them, or both, exactly where the version is 2 */
    HAS_SOURCE = 128,
    ALL_FLAGS = 255
};

static const char magic[8] = "CALMOESE";

struct head {
    char     magic[8];
    uint32_t version;
    uint32_t kv_bits;               /* of a key's or value's element: 16 or 32      */
    char     model[FINGERPRINT];
    uint32_t context, n_tokens, n_positions;
    int32_t  answer_begin;          /* -1: no answer has begun                      */
    uint32_t n_new;                 /* sampled since the last feed                  */
    uint32_t flags;
    uint32_t turn_begin, turn_end;
    uint32_t n_system, n_user;      /* bytes                                        */
    uint64_t n_state;               /* bytes                                        */
};
_Static_assert(sizeof(struct head) == 80, "the file's layout, without gaps");

struct source_head {
    uint64_t n_text;
    uint32_t n_name, is_system;
};

struct used { /* an adapter */
    char  fingerprint[FINGERPRINT];
    float scale;
};
_Static_assert(sizeof(struct used) == 20, "the file's layout, without gaps");

static size_t adapters_bytes(uint32_t n) { return n > 0 ? sizeof n + n * sizeof(struct used) : 0; }

static uint32_t kv_bits(const calmoe_engine *engine) { return engine->options.kv_float32 ? 32 : 16; }

/* ---- saving ---- */

struct sink {
    FILE         *stream;
    struct sha256 sha;
};

static calmoe_status put(void *user, const void *bytes, size_t n)
{
    struct sink *sink = user;
    cm_sha256_add(&sink->sha, bytes, n);
    fwrite(bytes, 1, n, sink->stream);
    return ferror(sink->stream) ? CALMOE_IO : CALMOE_OK; /* the sentence: cm_whole_file_check() */
}

static struct head head_of(const calmoe_session *session)
{
    const struct session_chat *chat = &session->chat;
    struct head head = {.version = VERSION, .kv_bits = kv_bits(session->engine), .context = (uint32_t)session->context,
                        .n_tokens = (uint32_t)session->n_known, .n_positions = (uint32_t)session->n_positions,
                        .answer_begin = session->answer_begin, .n_new = (uint32_t)session->answer.n_new,
                        .n_state = cm_sequence_state_bytes(&session->state, session->n_positions)};
    memcpy(head.magic, magic, sizeof magic);
    memcpy(head.model, session->engine->model->fingerprint, FINGERPRINT);
    head.flags = (session->answer.has_ended ? HAS_ENDED : 0u) | (session->answer.is_full ? IS_FULL : 0u) |
                 (chat->has_turns ? HAS_TURNS : 0u) | (session->adapters.n > 0 ? HAS_ADAPTERS : 0u) |
                 (session->source.name ? HAS_SOURCE : 0u);
    if (session->source.name || session->adapters.n > 0) head.version = VERSION_WITH_MORE;
    if (!chat->user) return head;
    head.flags |= HAS_USER | (chat->is_first ? IS_FIRST : 0u) | (chat->system ? HAS_SYSTEM : 0u);
    head.turn_begin = (uint32_t)chat->begin;
    head.turn_end = (uint32_t)chat->end;
    head.n_system = chat->system ? (uint32_t)strlen(chat->system) : 0;
    head.n_user = (uint32_t)strlen(chat->user);
    return head;
}

static void write_source(const struct session_source *source, struct sink *sink)
{
    const struct source_head head = {source->n_text, (uint32_t)strlen(source->name), source->is_system};
    (void)put(sink, &head, sizeof head);
    (void)put(sink, source->name, head.n_name);
    (void)put(sink, source->text, source->n_text);
}

static void write_adapters(const calmoe_session *session, struct sink *sink)
{
    const uint32_t n = (uint32_t)session->adapters.n;
    if (n > 0) (void)put(sink, &n, sizeof n);
    for (uint32_t i = 0; i < n; i++) {
        struct used         used = {.scale = session->adapters.used[i].scale};
        calmoe_adapter_info info = {.size = sizeof info};
        if (calmoe_adapter_get_info(session->adapters.used[i].adapter, &info) != CALMOE_OK) continue;
        memcpy(used.fingerprint, info.fingerprint, FINGERPRINT);
        (void)put(sink, &used, sizeof used);
    }
}

/* On several ranks by all of them. */
static calmoe_status write_state(const calmoe_session *session, struct sink *sink)
{
    struct followers *followers = session->engine->followers;
    if (followers) CM_TRY(cm_followers_begin_state(followers, WORD_SAVE, &session->state, session->n_positions));
    const calmoe_status status = cm_sequence_state_write(&session->state, session->n_positions, put, sink);
    if (followers) cm_followers_end_step(followers);
    return status;
}

static calmoe_status write_all(const calmoe_session *session, const struct head *head, struct sink *sink)
{
    char digest[DIGITS + 1];
    (void)put(sink, head, sizeof *head);
    if (session->source.name) write_source(&session->source, sink);
    write_adapters(session, sink);
    (void)put(sink, session->tokens, head->n_tokens * sizeof *session->tokens);
    if (head->n_system > 0) (void)put(sink, session->chat.system, head->n_system);
    if (head->n_user > 0) (void)put(sink, session->chat.user, head->n_user);
    CM_TRY(write_state(session, sink));
    cm_sha256_hex(&sink->sha, digest);
    return put(sink, digest, DIGITS);
}

calmoe_status calmoe_session_save(calmoe_session *session, const char *path)
{
    if (!session || !path)
        return cm_fail(session ? session->engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_session_save: session and path are needed");
    calmoe_context   *ctx = session->engine->ctx;
    struct whole_file file;
    if (session->broke.after >= 0 && session->broke.position < session->n_positions)
        return cm_fail(ctx, CALMOE_NOT_FINITE, "from position %d on the session holds NaN or infinities, from which "
                       "nothing goes on", session->broke.position);
    cm_drafts_forget(session); /* keys and values of tokens ahead are wiped */
    CM_TRY(cm_session_read_again(session));
    CM_TRY(cm_session_catch_up(session));
    CM_TRY(cm_sequence_state_own(&session->state, session->n_positions, session->n_positions + 1,
                                 session->n_positions));
    cm_sequence_state_wipe(&session->state, session->n_positions);
    const struct head head = head_of(session);
    if (head.n_system > MAX_TEXT_BYTES || head.n_user > MAX_TEXT_BYTES)
        return cm_fail(ctx, CALMOE_UNSUPPORTED, "a turn of more than %d bytes cannot be saved", MAX_TEXT_BYTES);
    CM_TRY(cm_whole_file_open(ctx, path, &file));
    struct sink sink = {file.stream, cm_sha256()};
    calmoe_status status = write_all(session, &head, &sink);
    if (status == CALMOE_OK || ferror(file.stream)) status = cm_whole_file_finish(ctx, &file);
    cm_whole_file_close(&file);
    return status;
}

/* ---- restoring ---- */

struct source {
    calmoe_context        *ctx;
    const char            *name;
    const struct file_map *map;   /* read without touching its pages; NULL: */
    const uint8_t         *bytes; /* in memory                              */
    size_t                 n_bytes, at;
    struct sha256          sha;
};

static calmoe_status get(void *user, void *bytes, size_t n)
{
    struct source *source = user;
    if (n > source->n_bytes - source->at)
        return cm_fail(source->ctx, CALMOE_BAD_FILE, "'%s' ends at byte %zu, inside a session", source->name,
                       source->n_bytes);
    const int why = source->map ? cm_file_map_read(source->map, source->at, n, bytes) : 0;
    if (why != 0)
        return cm_fail(source->ctx, CALMOE_IO, "cannot read '%s': %s", source->name,
                       why == CM_FILE_ENDED ? "it became shorter meanwhile" : strerror(why));
    if (!source->map && n > 0) memcpy(bytes, source->bytes + source->at, n);
    source->at += n;
    cm_sha256_add(&source->sha, bytes, n);
    return CALMOE_OK;
}

/* Do the head's numbers hold together? */
static bool is_sound(const struct head *head)
{
    const bool has_user = (head->flags & HAS_USER) != 0;
    if (head->context < 1 || head->context > CM_MAX_CONTEXT || head->n_tokens > head->context ||
        head->n_positions > head->n_tokens || head->n_new > INT_MAX || (head->flags & ~(uint32_t)ALL_FLAGS) != 0)
        return false;
    if (head->answer_begin < -1 || head->answer_begin > (int32_t)head->n_tokens) return false;
    if (!has_user) /* no more is known of a turn */
        return (head->flags & (IS_FIRST | HAS_SYSTEM)) == 0 && head->turn_begin == 0 && head->turn_end == 0 &&
               head->n_system == 0 && head->n_user == 0;
    return (head->flags & HAS_TURNS) != 0 && head->turn_begin <= head->turn_end && head->turn_end <= head->n_tokens &&
           head->n_system <= MAX_TEXT_BYTES && head->n_user <= MAX_TEXT_BYTES &&
           (head->n_system == 0 || (head->flags & HAS_SYSTEM) != 0);
}

static calmoe_status read_head(const calmoe_engine *engine, struct source *source, struct head *head)
{
    if (source->n_bytes < sizeof *head)
        return cm_fail(source->ctx, CALMOE_BAD_FILE, "'%s' is no session: it has %zu bytes", source->name,
                       source->n_bytes);
    CM_TRY(get(source, head, sizeof *head));
    if (memcmp(head->magic, magic, sizeof magic) != 0)
        return cm_fail(source->ctx, CALMOE_BAD_FILE, "'%s' is no session: it does not begin with %.8s", source->name,
                       magic);
    if (head->version != VERSION && head->version != VERSION_WITH_MORE)
        return cm_fail(source->ctx, CALMOE_UNSUPPORTED, "'%s' is a session of version %u; this version reads %d and %d",
                       source->name, (unsigned)head->version, VERSION, VERSION_WITH_MORE);
    if (!is_sound(head) || (head->version == VERSION_WITH_MORE) != ((head->flags & (HAS_ADAPTERS | HAS_SOURCE)) != 0))
        return cm_fail(source->ctx, CALMOE_BAD_FILE, "'%s' is damaged: its head holds numbers that cannot be",
                       source->name);
    if (memcmp(head->model, engine->model->fingerprint, FINGERPRINT) != 0)
        return cm_fail(source->ctx, CALMOE_INVALID_ARGUMENT,
                       "'%s' is a session of another model than '%s', or of the same one opened with other numbers",
                       source->name, engine->model->path);
    if (head->kv_bits != kv_bits(engine))
        return cm_fail(source->ctx, CALMOE_INVALID_ARGUMENT,
                       "'%s' has keys and values of %u bits; the engine was opened for %u", source->name,
                       (unsigned)head->kv_bits, (unsigned)kv_bits(engine));
    return CALMOE_OK;
}

static calmoe_status read_tokens(struct source *source, const struct head *head, calmoe_session *session)
{
    const int n_vocab = session->engine->model->spec.n_vocab;
    CM_TRY(get(source, session->tokens, head->n_tokens * sizeof *session->tokens));
    for (uint32_t i = 0; i < head->n_tokens; i++)
        if (session->tokens[i] < 0 || session->tokens[i] >= n_vocab)
            return cm_fail(source->ctx, CALMOE_BAD_FILE, "'%s' is damaged: token %u is %d, of %d that there are",
                           source->name, (unsigned)i, (int)session->tokens[i], n_vocab);
    return CALMOE_OK;
}

static calmoe_status read_text(struct source *source, bool is_there, uint32_t n, char **out)
{
    if (!is_there) return CALMOE_OK;
    *out = cm_alloc(source->ctx, (size_t)n + 1, 1, "a turn");
    if (!*out) return CALMOE_NO_MEMORY;
    CM_TRY(get(source, *out, n));
    if (memchr(*out, '\0', n) == NULL) return CALMOE_OK;
    return cm_fail(source->ctx, CALMOE_BAD_FILE, "'%s' is damaged: a turn holds a byte 0", source->name);
}

static calmoe_status read_digest(struct source *source)
{
    char wanted[DIGITS + 1], found[DIGITS];
    cm_sha256_hex(&source->sha, wanted);
    CM_TRY(get(source, found, DIGITS));
    if (memcmp(found, wanted, DIGITS) == 0) return CALMOE_OK;
    return cm_fail(source->ctx, CALMOE_BAD_FILE, "'%s' is damaged: its bytes are not those that were written",
                   source->name);
}

static calmoe_adapter *find_adapter(const calmoe_engine *engine, const char *fingerprint)
{
    for (int i = 0; i < calmoe_engine_n_adapters(engine); i++) {
        calmoe_adapter     *adapter = calmoe_engine_adapter(engine, i);
        calmoe_adapter_info info = {.size = sizeof info};
        if (calmoe_adapter_get_info(adapter, &info) == CALMOE_OK && memcmp(info.fingerprint, fingerprint, 16) == 0)
            return adapter;
    }
    return NULL;
}

/* What the session was read with. */
static calmoe_status read_adapters(struct source *source, const struct head *head, calmoe_session *session,
                                   uint32_t *n)
{
    calmoe_adapter *adapters[CALMOE_MAX_ADAPTERS];
    float           scales[CALMOE_MAX_ADAPTERS];
    *n = 0;
    if ((head->flags & HAS_ADAPTERS) == 0) return CALMOE_OK;
    CM_TRY(get(source, n, sizeof *n));
    if (*n < 1 || *n > CALMOE_MAX_ADAPTERS)
        return cm_fail(source->ctx, CALMOE_BAD_FILE, "'%s' is damaged: it has %u adapters; 1 to %d are possible",
                       source->name, (unsigned)*n, CALMOE_MAX_ADAPTERS);
    for (uint32_t i = 0; i < *n; i++) {
        struct used used;
        CM_TRY(get(source, &used, sizeof used));
        scales[i] = used.scale;
        adapters[i] = find_adapter(session->engine, used.fingerprint);
        if (!adapters[i])
            return cm_fail(source->ctx, CALMOE_INVALID_ARGUMENT, "'%s' was read with the adapter %.16s, which is not "
                           "open; %d others are", source->name, used.fingerprint,
                           calmoe_engine_n_adapters(session->engine));
        if (scales[i] == 0.0f)
            return cm_fail(source->ctx, CALMOE_BAD_FILE, "'%s' is damaged: adapter %u has the scale 0", source->name,
                           (unsigned)i);
    }
    return calmoe_session_set_adapters(session, adapters, scales, (int)*n);
}

/* *n_bytes: what it takes of the file. */
static calmoe_status read_source(struct source *source, const struct head *head, calmoe_session *session,
                                 uint64_t *n_bytes)
{
    struct source_head own;
    *n_bytes = 0;
    if ((head->flags & HAS_SOURCE) == 0) return CALMOE_OK;
    CM_TRY(get(source, &own, sizeof own));
    *n_bytes = sizeof own + own.n_name + own.n_text;
    if (own.n_name > CM_MAX_SOURCE_NAME || own.n_text > CM_MAX_SOURCE_BYTES || own.is_system > 1 ||
        own.n_name + own.n_text > source->n_bytes - source->at)
        return cm_fail(source->ctx, CALMOE_BAD_FILE, "'%s' is damaged: its source holds numbers that cannot be",
                       source->name);
    CM_TRY(cm_session_reserve_source(session, own.n_name, (size_t)own.n_text));
    session->source.is_system = own.is_system != 0;
    CM_TRY(get(source, session->source.name, own.n_name));
    CM_TRY(get(source, session->source.text, (size_t)own.n_text));
    if (memchr(session->source.name, '\0', own.n_name) == NULL) return CALMOE_OK;
    return cm_fail(source->ctx, CALMOE_BAD_FILE, "'%s' is damaged: its source's name holds a byte 0", source->name);
}

static calmoe_status read_state(calmoe_session *session, int n_positions, struct source *source)
{
    struct followers *followers = session->engine->followers;
    if (followers) CM_TRY(cm_followers_begin_state(followers, WORD_RESTORE, &session->state, n_positions));
    const calmoe_status status = cm_sequence_state_read(&session->state, n_positions, get, source);
    if (followers) cm_followers_end_step(followers);
    return status;
}

/* All behind the head, into a session that was just opened. */
static calmoe_status read_session(struct source *source, const struct head *head, calmoe_session *session)
{
    uint32_t n_adapters;
    uint64_t n_source;
    CM_TRY(read_source(source, head, session, &n_source));
    CM_TRY(read_adapters(source, head, session, &n_adapters));
    const uint64_t n_state = cm_sequence_state_bytes(&session->state, (int)head->n_positions);
    const uint64_t n_bytes = sizeof *head + n_source + adapters_bytes(n_adapters) +
                             head->n_tokens * sizeof *session->tokens + head->n_system + head->n_user + n_state +
                             DIGITS;
    if (head->n_state != n_state || source->n_bytes != n_bytes)
        return cm_fail(source->ctx, CALMOE_BAD_FILE, "'%s' has %zu bytes; a session of %u tokens, %u of them read, has "
                       "%llu", source->name, source->n_bytes, (unsigned)head->n_tokens, (unsigned)head->n_positions,
                       (unsigned long long)n_bytes);
    CM_TRY(cm_session_need_memory(session, (int)head->n_positions));
    CM_TRY(read_tokens(source, head, session));
    CM_TRY(read_text(source, (head->flags & HAS_SYSTEM) != 0, head->n_system, &session->chat.system));
    CM_TRY(read_text(source, (head->flags & HAS_USER) != 0, head->n_user, &session->chat.user));
    CM_TRY(read_state(session, (int)head->n_positions, source));
    return read_digest(source);
}

static void take_head(const struct head *head, calmoe_session *session)
{
    session->n_known = (int)head->n_tokens;
    session->n_positions = (int)head->n_positions;
    session->answer_begin = head->answer_begin;
    session->answer.n_new = (int)head->n_new;
    session->answer.has_ended = (head->flags & HAS_ENDED) != 0;
    session->answer.is_full = (head->flags & IS_FULL) != 0 && session->n_known == session->context;
    session->chat.has_turns = (head->flags & HAS_TURNS) != 0;
    session->chat.is_first = (head->flags & IS_FIRST) != 0;
    session->chat.begin = (int)head->turn_begin;
    session->chat.end = (int)head->turn_end;
    cm_session_accept_anew(session, session->n_positions);
}

static calmoe_status restore(calmoe_engine *engine, struct source *source, const calmoe_session_options *given,
                             calmoe_session **out)
{
    calmoe_session_options options;
    struct head            head;
    calmoe_session_options_init(&options);
    CM_TRY(cm_options_copy(engine->ctx, "calmoe_session_options", &options, sizeof options, given));
    CM_TRY(read_head(engine, source, &head));
    if (options.context == 0) options.context = (int)head.context;
    if (options.context > 0 && (uint32_t)options.context < head.n_tokens)
        return cm_fail(engine->ctx, CALMOE_FULL, "'%s' holds %u tokens, and the context is to have room for %d",
                       source->name, (unsigned)head.n_tokens, options.context);
    CM_TRY(calmoe_session_open(engine, &options, out));
    const calmoe_status status = read_session(source, &head, *out);
    if (status == CALMOE_OK) take_head(&head, *out);
    else calmoe_session_close(out);
    return status;
}

calmoe_status calmoe_session_restore(calmoe_engine *engine, const char *path, const calmoe_session_options *options,
                                     calmoe_session **out)
{
    struct file_map map;
    if (out) *out = NULL;
    if (!engine || !path || !out)
        return cm_fail(engine ? engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_session_restore: engine, path and out are needed");
    CM_TRY(cm_file_map_open(engine->ctx, path, &map));
    struct source source = {.ctx = engine->ctx, .name = path, .map = &map, .n_bytes = map.n_bytes,
                            .sha = cm_sha256()};
    const calmoe_status status = restore(engine, &source, options, out);
    cm_file_map_close(&map);
    return status;
}

calmoe_status cm_session_parse(calmoe_engine *engine, const char *name, const void *bytes, size_t n_bytes,
                               const calmoe_session_options *options, calmoe_session **out)
{
    struct source source = {.ctx = engine->ctx, .name = name, .bytes = bytes, .n_bytes = n_bytes, .sha = cm_sha256()};
    *out = NULL;
    return restore(engine, &source, options, out);
}
