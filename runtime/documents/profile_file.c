/* profile_file.c - see profile_file.h. */
#include "runtime/documents/profile_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/whole_file.h"
#include "runtime/documents/json.h"

static const char   schema[] = "calmoe.profile.1";
static const char   what[] = "a profile";
static const int64_t most = INT64_MAX / 1024; /* of any count, so that sums cannot overflow soon */

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- memory ---- */

static void close_domain(struct profile_domain *domain)
{
    cm_free(domain->name);
    cm_free(domain->tokens);
    cm_free(domain->weights);
    cm_free(domain->reuse);
    cm_free(domain->exits);
    cm_free(domain->used);
    cm_free(domain->n_pairs);
    cm_free(domain->pairs);
    *domain = (struct profile_domain){0};
}

void cm_profile_close(struct profile *profile)
{
    for (int i = 0; i < profile->n_domains; i++) close_domain(&profile->domains[i]);
    cm_free(profile->domains);
    *profile = (struct profile){0};
}

calmoe_status cm_profile_add_domain(struct calmoe_context *ctx, struct profile *profile, const char *name,
                                    struct profile_domain **out)
{
    const size_t           n_layers = (size_t)profile->n_layers, n = n_layers * (size_t)profile->n_experts;
    struct profile_domain *domains =
        cm_alloc(ctx, (size_t)profile->n_domains + 1, sizeof *domains, what);
    if (!domains) return CALMOE_NO_MEMORY;
    struct profile_domain *domain = &domains[profile->n_domains];
    domain->name = cm_copy_text(ctx, name, strlen(name));
    domain->tokens = cm_alloc(ctx, n, sizeof *domain->tokens, what);
    domain->weights = cm_alloc(ctx, n, sizeof *domain->weights, what);
    domain->reuse = cm_alloc(ctx, n_layers * PROFILE_REUSE_BINS, sizeof *domain->reuse, what);
    domain->exits = cm_alloc(ctx, n_layers, sizeof *domain->exits, what);
    domain->used = cm_alloc(ctx, (size_t)profile->n_used + 1, sizeof *domain->used, what);
    domain->n_pairs = cm_alloc(ctx, n_layers, sizeof *domain->n_pairs, what);
    domain->pairs = cm_alloc(ctx, n_layers * PROFILE_MAX_PAIRS, sizeof *domain->pairs, what);
    if (!domain->name || !domain->tokens || !domain->weights || !domain->reuse || !domain->exits || !domain->used ||
        !domain->n_pairs || !domain->pairs) {
        close_domain(domain);
        cm_free(domains);
        return CALMOE_NO_MEMORY;
    }
    if (profile->n_domains > 0)
        memcpy(domains, profile->domains, (size_t)profile->n_domains * sizeof *domains);
    cm_free(profile->domains);
    profile->domains = domains;
    profile->n_domains++;
    *out = domain;
    return CALMOE_OK;
}

/* ---- reading ---- */

static calmoe_status read_count(struct calmoe_context *ctx, const struct json_value *object, const char *key,
                                int64_t min, int64_t max, int64_t *out)
{
    struct json_value value;
    CM_TRY(cm_json_member(ctx, object, key, &value));
    return cm_json_int(ctx, &value, min, max, out);
}

static calmoe_status read_counts(struct calmoe_context *ctx, const struct json_value *object, const char *key,
                                 size_t n, int64_t max, uint64_t *out)
{
    struct json_value list;
    size_t            n_found;
    CM_TRY(cm_json_member(ctx, object, key, &list));
    CM_TRY(cm_json_array(ctx, &list, n, n, &n_found));
    for (size_t i = 0; i < n; i++) {
        const struct json_value value = cm_json_element(&list, i);
        int64_t                 count;
        CM_TRY(cm_json_int(ctx, &value, 0, max, &count));
        out[i] = (uint64_t)count;
    }
    return CALMOE_OK;
}

static calmoe_status read_weights(struct calmoe_context *ctx, const struct json_value *layer, size_t n, double *out)
{
    struct json_value list;
    size_t            n_found;
    CM_TRY(cm_json_member(ctx, layer, "weights", &list));
    CM_TRY(cm_json_array(ctx, &list, n, n, &n_found));
    for (size_t i = 0; i < n; i++) {
        const struct json_value value = cm_json_element(&list, i);
        CM_TRY(cm_json_number(ctx, &value, 0, 1e18, &out[i]));
    }
    return CALMOE_OK;
}

static calmoe_status read_pairs(struct calmoe_context *ctx, const struct json_value *layer, int n_experts,
                                int64_t n_tokens, struct profile_pair *pairs, int *n_pairs)
{
    struct json_value list;
    size_t            n_found, n_numbers;
    CM_TRY(cm_json_member(ctx, layer, "pairs", &list));
    CM_TRY(cm_json_array(ctx, &list, 0, PROFILE_MAX_PAIRS, &n_found));
    for (size_t i = 0; i < n_found; i++) {
        const struct json_value pair = cm_json_element(&list, i);
        int64_t                 numbers[3];
        CM_TRY(cm_json_array(ctx, &pair, 3, 3, &n_numbers));
        for (size_t j = 0; j < 3; j++) {
            const struct json_value value = cm_json_element(&pair, j);
            CM_TRY(cm_json_int(ctx, &value, j == 1 ? numbers[0] + 1 : 0, j < 2 ? n_experts - 1 : n_tokens,
                               &numbers[j]));
        }
        pairs[i] = (struct profile_pair){(int32_t)numbers[0], (int32_t)numbers[1], (uint64_t)numbers[2]};
        if (i > 0 && (pairs[i].a < pairs[i - 1].a || (pairs[i].a == pairs[i - 1].a && pairs[i].b <= pairs[i - 1].b)))
            return cm_json_wrong(ctx, &pair, "a pair after the one before it");
    }
    *n_pairs = (int)n_found;
    return CALMOE_OK;
}

static calmoe_status read_layer(struct calmoe_context *ctx, const struct json_value *value,
                                const struct profile *profile, struct profile_domain *domain, int layer)
{
    static const char *const known[] = {"tokens", "weights", "reuse", "exits", "pairs"};
    const size_t             n_experts = (size_t)profile->n_experts, at = (size_t)layer * n_experts;
    const int64_t            n_tokens = (int64_t)domain->n_tokens;
    int64_t                  n_exits;
    uint64_t                 sum = 0;
    CM_TRY(cm_json_check_object(ctx, value, known, COUNT_OF(known)));
    CM_TRY(read_counts(ctx, value, "tokens", n_experts, n_tokens, domain->tokens + at));
    for (size_t i = 0; i < n_experts; i++) sum += domain->tokens[at + i];
    if (sum > domain->n_tokens * (uint64_t)profile->n_used)
        return cm_json_wrong(ctx, value, "no more uses of experts than tokens times experts used");
    CM_TRY(read_weights(ctx, value, n_experts, domain->weights + at));
    CM_TRY(read_counts(ctx, value, "reuse", PROFILE_REUSE_BINS, most,
        domain->reuse + (size_t)layer * PROFILE_REUSE_BINS));
    CM_TRY(read_count(ctx, value, "exits", 0, n_tokens, &n_exits));
    domain->exits[layer] = (uint64_t)n_exits;
    return read_pairs(ctx, value, profile->n_experts, n_tokens, domain->pairs + (size_t)layer * PROFILE_MAX_PAIRS,
                      &domain->n_pairs[layer]);
}

/* "seconds" of each phase, and "waited". */
static calmoe_status read_times(struct calmoe_context *ctx, const struct json_value *value, double *seconds,
                                double *waited)
{
    struct json_value list, member;
    size_t            n_found;
    CM_TRY(cm_json_member(ctx, value, "seconds", &list));
    CM_TRY(cm_json_array(ctx, &list, PROFILE_PHASES, PROFILE_PHASES, &n_found));
    for (size_t i = 0; i < n_found; i++) {
        const struct json_value element = cm_json_element(&list, i);
        CM_TRY(cm_json_number(ctx, &element, 0, 1e18, &seconds[i]));
    }
    CM_TRY(cm_json_member(ctx, value, "waited", &member));
    return cm_json_number(ctx, &member, 0, 1e18, waited);
}

static calmoe_status read_nodes(struct calmoe_context *ctx, const struct json_value *list, struct profile_work *work)
{
    static const char *const known[] = {"seconds", "waited", "bytes", "remote"};
    size_t                   n_nodes;
    CM_TRY(cm_json_array(ctx, list, 0, PROFILE_MAX_NODES, &n_nodes));
    for (size_t i = 0; i < n_nodes; i++) {
        const struct json_value value = cm_json_element(list, i);
        struct profile_node    *node = &work->nodes[i];
        int64_t                 n_remote;
        CM_TRY(cm_json_check_object(ctx, &value, known, COUNT_OF(known)));
        CM_TRY(read_times(ctx, &value, node->seconds, &node->waited));
        CM_TRY(read_counts(ctx, &value, "bytes", PROFILE_PHASES, most, node->bytes));
        CM_TRY(read_count(ctx, &value, "remote", 0, most, &n_remote));
        node->remote_bytes = (uint64_t)n_remote;
    }
    work->n_nodes = (int)n_nodes;
    return CALMOE_OK;
}

static calmoe_status read_work(struct calmoe_context *ctx, const struct json_value *value, struct profile_work *work)
{
    static const char *const known[] = {"steps", "seconds", "waited", "bytes", "nodes"};
    static const char *const parts[] = {"experts", "head", "dense"};
    uint64_t *const          bytes[] = {&work->expert_bytes, &work->head_bytes, &work->dense_bytes};
    struct json_value        sizes, nodes;
    int64_t                  n;
    CM_TRY(cm_json_check_object(ctx, value, known, COUNT_OF(known)));
    CM_TRY(read_count(ctx, value, "steps", 0, most, &n));
    work->n_steps = (uint64_t)n;
    CM_TRY(read_times(ctx, value, work->seconds, &work->waited));
    CM_TRY(cm_json_member(ctx, value, "bytes", &sizes));
    CM_TRY(cm_json_check_object(ctx, &sizes, parts, COUNT_OF(parts)));
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        CM_TRY(read_count(ctx, &sizes, parts[i], 0, most, &n));
        *bytes[i] = (uint64_t)n;
    }
    CM_TRY(cm_json_find(ctx, value, "nodes", &nodes));
    return nodes.json ? read_nodes(ctx, &nodes, work) : CALMOE_OK;
}

/* That a domain is as long as the model says, before memory is asked for. */
static calmoe_status check_lengths(struct calmoe_context *ctx, const struct json_value *layers,
                                   const struct profile *profile)
{
    size_t n_found;
    CM_TRY(cm_json_array(ctx, layers, (size_t)profile->n_layers, (size_t)profile->n_layers, &n_found));
    for (size_t layer = 0; layer < n_found; layer++) {
        const struct json_value value = cm_json_element(layers, layer);
        struct json_value       tokens;
        size_t                  n_experts;
        CM_TRY(cm_json_member(ctx, &value, "tokens", &tokens));
        CM_TRY(cm_json_array(ctx, &tokens, (size_t)profile->n_experts, (size_t)profile->n_experts, &n_experts));
    }
    return CALMOE_OK;
}

static calmoe_status read_domain(struct calmoe_context *ctx, const struct json_value *value, struct profile *profile)
{
    static const char *const known[] = {"name", "tokens", "used", "work", "layers"};
    struct json_value        name, layers, work;
    struct profile_domain   *domain;
    const char              *text;
    int64_t                  n_tokens;
    CM_TRY(cm_json_check_object(ctx, value, known, COUNT_OF(known)));
    CM_TRY(cm_json_member(ctx, value, "name", &name));
    CM_TRY(cm_json_text(ctx, &name, &text));
    for (int i = 0; i < profile->n_domains; i++)
        if (strcmp(profile->domains[i].name, text) == 0)
            return cm_json_wrong(ctx, &name, "a name that was not there before");
    CM_TRY(read_count(ctx, value, "tokens", 0, most / PROFILE_MAX_USED, &n_tokens));
    CM_TRY(cm_json_member(ctx, value, "layers", &layers));
    CM_TRY(check_lengths(ctx, &layers, profile));
    CM_TRY(cm_profile_add_domain(ctx, profile, text, &domain));
    domain->n_tokens = (uint64_t)n_tokens;
    CM_TRY(read_counts(ctx, value, "used", (size_t)profile->n_used + 1, most, domain->used));
    CM_TRY(cm_json_find(ctx, value, "work", &work));
    if (work.json) CM_TRY(read_work(ctx, &work, &domain->work));
    for (int layer = 0; layer < profile->n_layers; layer++) {
        const struct json_value element = cm_json_element(&layers, (size_t)layer);
        CM_TRY(read_layer(ctx, &element, profile, domain, layer));
    }
    return CALMOE_OK;
}

static calmoe_status read_model(struct calmoe_context *ctx, const struct json_value *root, struct profile *profile)
{
    static const char *const known[] = {"fingerprint", "layers", "experts", "used"};
    struct json_value        model;
    int64_t                  n;
    CM_TRY(cm_json_member(ctx, root, "model", &model));
    CM_TRY(cm_json_check_object(ctx, &model, known, COUNT_OF(known)));
    CM_TRY(cm_json_fingerprint(ctx, &model, profile->fingerprint));
    CM_TRY(read_count(ctx, &model, "layers", 1, PROFILE_MAX_LAYERS, &n));
    profile->n_layers = (int)n;
    CM_TRY(read_count(ctx, &model, "experts", 1, PROFILE_MAX_EXPERTS, &n));
    profile->n_experts = (int)n;
    CM_TRY(read_count(ctx, &model, "used", 1, n < PROFILE_MAX_USED ? n : PROFILE_MAX_USED, &n));
    profile->n_used = (int)n;
    return CALMOE_OK;
}

static calmoe_status read_profile(struct calmoe_context *ctx, const struct json_document *document, void *out)
{
    struct profile *const profile = out;
    static const char *const known[] = {"schema", "version", "model", "domains"};
    const struct json_value  root = cm_json_root(document);
    static const char *const schemas[] = {schema};
    struct json_value        domains;
    size_t                   n_domains;
    int                      which;
    CM_TRY(cm_json_schema(ctx, &root, schemas, 1, &which)); /* first: of another schema, other members may be right */
    CM_TRY(cm_json_check_object(ctx, &root, known, COUNT_OF(known)));
    CM_TRY(cm_json_version(ctx, &root));
    CM_TRY(read_model(ctx, &root, profile));
    CM_TRY(cm_json_member(ctx, &root, "domains", &domains));
    CM_TRY(cm_json_array(ctx, &domains, 1, PROFILE_MAX_DOMAINS, &n_domains));
    if (n_domains * (size_t)profile->n_layers > PROFILE_MAX_BLOCKS)
        return cm_json_wrong(ctx, &domains, "no more than 16384 layers in all domains together");
    for (size_t i = 0; i < n_domains; i++) {
        const struct json_value element = cm_json_element(&domains, i);
        CM_TRY(read_domain(ctx, &element, profile));
    }
    return CALMOE_OK;
}

static void close_profile(void *profile) { cm_profile_close(profile); }

static const struct json_kind profiles = {sizeof(struct profile), read_profile, close_profile};

calmoe_status cm_profile_read(struct calmoe_context *ctx, const char *path, struct profile *out)
{
    return cm_json_read_file(ctx, path, &profiles, out);
}

calmoe_status cm_profile_parse(struct calmoe_context *ctx, const char *name, const void *text, size_t n_bytes,
                               struct profile *out)
{
    return cm_json_read_text(ctx, name, text, n_bytes, &profiles, out);
}

/* ---- writing ---- */

static void write_counts(FILE *file, const char *before, const uint64_t *counts, size_t n)
{
    fputs(before, file);
    for (size_t i = 0; i < n; i++) fprintf(file, "%s%" PRIu64, i == 0 ? "[" : ", ", counts[i]);
    fputs("]", file);
}

/* A text in quotes, with what JSON wants escaped. Domain names are the user's. */
static void write_text(FILE *file, const char *text)
{
    fputc('"', file);
    for (const unsigned char *at = (const unsigned char *)text; *at; at++)
        if (*at < 0x20) fprintf(file, "\\u%04x", *at);
        else if (*at == '"' || *at == '\\') fprintf(file, "\\%c", *at);
        else fputc(*at, file);
    fputc('"', file);
}

static void write_layer(FILE *file, const struct profile *profile, const struct profile_domain *domain, int layer)
{
    const size_t n = (size_t)profile->n_experts, at = (size_t)layer * n;
    write_counts(file, layer == 0 ? "\n   {\"tokens\": " : ",\n   {\"tokens\": ", domain->tokens + at, n);
    fputs(",\n    \"weights\": ", file);
    for (size_t i = 0; i < n; i++) fprintf(file, "%s%.9g", i == 0 ? "[" : ", ", domain->weights[at + i]);
    write_counts(file, "],\n    \"reuse\": ", domain->reuse + (size_t)layer * PROFILE_REUSE_BINS, PROFILE_REUSE_BINS);
    fprintf(file, ", \"exits\": %" PRIu64 ",\n    \"pairs\": [", domain->exits[layer]);
    for (int i = 0; i < domain->n_pairs[layer]; i++) {
        const struct profile_pair *pair = &domain->pairs[(size_t)layer * PROFILE_MAX_PAIRS + (size_t)i];
        fprintf(file, "%s[%d, %d, %" PRIu64 "]", i == 0 ? "" : ", ", (int)pair->a, (int)pair->b, pair->n_tokens);
    }
    fputs("]}", file);
}

static void write_times(FILE *file, const double *seconds, double waited)
{
    fputs("\"seconds\": ", file);
    for (int i = 0; i < PROFILE_PHASES; i++) fprintf(file, "%s%.9g", i == 0 ? "[" : ", ", seconds[i]);
    fprintf(file, "], \"waited\": %.9g", waited);
}

static void write_work(FILE *file, const struct profile_work *work)
{
    fprintf(file, ",\n   \"work\": {\"steps\": %" PRIu64 ", ", work->n_steps);
    write_times(file, work->seconds, work->waited);
    fprintf(file, ",\n    \"bytes\": {\"experts\": %" PRIu64 ", \"head\": %" PRIu64 ", \"dense\": %" PRIu64 "}",
            work->expert_bytes, work->head_bytes, work->dense_bytes);
    for (int i = 0; i < work->n_nodes; i++) {
        const struct profile_node *node = &work->nodes[i];
        fputs(i == 0 ? ",\n    \"nodes\": [{" : ",\n     {", file);
        write_times(file, node->seconds, node->waited);
        write_counts(file, ", \"bytes\": ", node->bytes, PROFILE_PHASES);
        fprintf(file, ", \"remote\": %" PRIu64 "}", node->remote_bytes);
    }
    fputs(work->n_nodes > 0 ? "]}" : "}", file);
}

calmoe_status cm_profile_write(struct calmoe_context *ctx, const char *path, const struct profile *profile)
{
    struct whole_file whole;
    CM_TRY(cm_whole_file_open(ctx, path, &whole));
    FILE *const file = whole.stream;
    fprintf(file, "{\"schema\": \"%s\", \"version\": \"%s\",\n", schema, CALMOE_VERSION_TEXT);
    fprintf(file, " \"model\": {\"fingerprint\": \"%s\", \"layers\": %d, \"experts\": %d, \"used\": %d},\n"
        " \"domains\": [",
            profile->fingerprint, profile->n_layers, profile->n_experts, profile->n_used);
    for (int i = 0; i < profile->n_domains; i++) {
        const struct profile_domain *domain = &profile->domains[i];
        fputs(i == 0 ? "\n  {\"name\": " : ",\n  {\"name\": ", file);
        write_text(file, domain->name);
        fprintf(file, ", \"tokens\": %" PRIu64, domain->n_tokens);
        write_counts(file, ", \"used\": ", domain->used, (size_t)profile->n_used + 1);
        if (domain->work.n_steps > 0) write_work(file, &domain->work);
        fputs(", \"layers\": [", file);
        for (int layer = 0; layer < profile->n_layers; layer++) write_layer(file, profile, domain, layer);
        fputs("]}", file);
    }
    fputs("\n ]}\n", file);    const calmoe_status status = cm_whole_file_finish(ctx, &whole);
    cm_whole_file_close(&whole);
    return status;
}

/* ---- merging ---- */

static struct profile_domain *find_domain(const struct profile *profile, const char *name)
{
    for (int i = 0; i < profile->n_domains; i++)
        if (strcmp(profile->domains[i].name, name) == 0) return &profile->domains[i];
    return NULL;
}

static int by_experts(const void *left, const void *right)
{
    const struct profile_pair *const x = left, *const y = right;
    return x->a != y->a ? (x->a > y->a) - (x->a < y->a) : (x->b > y->b) - (x->b < y->b);
}

static int by_tokens(const void *left, const void *right)
{
    const struct profile_pair *const x = left, *const y = right;
    if (x->n_tokens != y->n_tokens) return x->n_tokens < y->n_tokens ? 1 : -1;
    return by_experts(left, right);
}

int cm_profile_trim_pairs(struct profile_pair *pairs, int n)
{
    if (n > PROFILE_MAX_PAIRS) {
        qsort(pairs, (size_t)n, sizeof *pairs, by_tokens);
        n = PROFILE_MAX_PAIRS;
    }
    if (n > 1) qsort(pairs, (size_t)n, sizeof *pairs, by_experts);
    return n;
}

void cm_profile_add_work(struct profile_work *into, const struct profile_work *more)
{
    into->n_steps += more->n_steps;
    for (int i = 0; i < PROFILE_PHASES; i++) into->seconds[i] += more->seconds[i];
    into->waited += more->waited;
    into->expert_bytes += more->expert_bytes;
    into->head_bytes += more->head_bytes;
    into->dense_bytes += more->dense_bytes;
    if (more->n_nodes > into->n_nodes) into->n_nodes = more->n_nodes;
    for (int i = 0; i < more->n_nodes; i++) {
        struct profile_node       *node = &into->nodes[i];
        const struct profile_node *other = &more->nodes[i];
        for (int phase = 0; phase < PROFILE_PHASES; phase++) node->seconds[phase] += other->seconds[phase];
        for (int phase = 0; phase < PROFILE_PHASES; phase++) node->bytes[phase] += other->bytes[phase];
        node->waited += other->waited;
        node->remote_bytes += other->remote_bytes;
    }
}

/* Adds the pairs of one layer; all has room for twice PROFILE_MAX_PAIRS. */
static void merge_pairs(struct profile_pair *into, int *n_into, const struct profile_pair *more, int n_more,
                        struct profile_pair *all)
{
    int n = 0;
    for (int i = 0, j = 0; i < *n_into || j < n_more;) {
        const int order = i == *n_into ? 1 : j == n_more ? -1 : by_experts(&into[i], &more[j]);
        all[n] = order <= 0 ? into[i] : more[j];
        if (order == 0) all[n].n_tokens += more[j].n_tokens;
        n++;
        i += order <= 0;
        j += order >= 0;
    }
    if (n > PROFILE_MAX_PAIRS) n = cm_profile_trim_pairs(all, n);
    if (n > 0) memcpy(into, all, (size_t)n * sizeof *all);
    *n_into = n;
}

static void merge_domain(const struct profile *profile, struct profile_domain *into, const struct profile_domain *more,
                         struct profile_pair *all)
{
    const size_t n_layers = (size_t)profile->n_layers, n = n_layers * (size_t)profile->n_experts;
    into->n_tokens += more->n_tokens;
    cm_profile_add_work(&into->work, &more->work);
    for (size_t i = 0; i < n; i++) into->tokens[i] += more->tokens[i];
    for (size_t i = 0; i < n; i++) into->weights[i] += more->weights[i];
    for (size_t i = 0; i < n_layers * PROFILE_REUSE_BINS; i++) into->reuse[i] += more->reuse[i];
    for (size_t i = 0; i < n_layers; i++) into->exits[i] += more->exits[i];
    for (int i = 0; i <= profile->n_used; i++) into->used[i] += more->used[i];
    for (size_t layer = 0; layer < n_layers; layer++)
        merge_pairs(into->pairs + layer * PROFILE_MAX_PAIRS, &into->n_pairs[layer],
                    more->pairs + layer * PROFILE_MAX_PAIRS, more->n_pairs[layer], all);
}

calmoe_status cm_profile_merge(struct calmoe_context *ctx, struct profile *into, const struct profile *more)
{
    if (strcmp(into->fingerprint, more->fingerprint) != 0)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "the profiles are of different models: %s and %s",
                       into->fingerprint, more->fingerprint);
    if (into->n_layers != more->n_layers || into->n_experts != more->n_experts || into->n_used != more->n_used)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "the profiles are of %d layers of %d experts, %d used, and of %d layers of %d, %d used",
                       into->n_layers, into->n_experts, into->n_used, more->n_layers, more->n_experts, more->n_used);
    struct profile_pair *all = cm_alloc(ctx, (size_t)2 * PROFILE_MAX_PAIRS, sizeof *all, what);
    if (!all) return CALMOE_NO_MEMORY;
    calmoe_status status = CALMOE_OK;
    for (int i = 0; i < more->n_domains && status == CALMOE_OK; i++) {
        struct profile_domain *domain = find_domain(into, more->domains[i].name);
        if (!domain && (into->n_domains == PROFILE_MAX_DOMAINS ||
                        (into->n_domains + 1) * into->n_layers > PROFILE_MAX_BLOCKS))
            status = cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "the profiles have too many domains together: more than %d",
                             into->n_domains);
        else if (!domain) status = cm_profile_add_domain(ctx, into, more->domains[i].name, &domain);
        if (status == CALMOE_OK) merge_domain(into, domain, &more->domains[i], all);
    }
    cm_free(all);
    return status;
}

calmoe_status cm_profile_counts(struct calmoe_context *ctx, const struct profile *profile, const char *domain,
                                uint64_t *counts)
{
    const size_t n = (size_t)profile->n_layers * (size_t)profile->n_experts;
    if (domain && !find_domain(profile, domain))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "the profile has no domain '%s'", domain);
    memset(counts, 0, n * sizeof *counts);
    for (int i = 0; i < profile->n_domains; i++) {
        const struct profile_domain *it = &profile->domains[i];
        for (size_t j = 0; j < n && (!domain || strcmp(it->name, domain) == 0); j++) counts[j] += it->tokens[j];
    }
    return CALMOE_OK;
}
