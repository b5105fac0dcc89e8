/* walker.c - see walker.h.
 *
 * A place is written as numbers: its node, the height of its stack, and for each entry of that from the bottom up the
 * node that was left and how often it was repeated. A state is its places one after the other. */
#include "runtime/constrain/walker.h"

#include <string.h>

#include "base/memory.h"

enum {
    MAX_STATES = 1024,
    MAX_NUMBERS = 1 << 16, /* of all states      */
    MAX_PLACES = 4096,     /* of one state       */
    N_SLOTS = 8192,        /* of hash tables: powers of two, more than twice what they hold */
    N_MASKS = 32,
    DEAD = 0,              /* the state without places */
    UNKNOWN = 0xffff
};

struct state {
    uint32_t at, n;       /* numbers                                           */
    bool     may_end;
    bool     is_free;     /* in free text                                      */
    bool     has_tokens;  /* places that wait for a token                      */
    bool     goes_on;     /* places that wait for anything                     */
};

struct walker {
    const struct program    *program;
    const struct token_trie *trie;
    int32_t   n_vocab;
    int       n_words;
    int       current, marked;
    int       n_states;
    uint32_t  n_numbers;
    struct state *states;   /* (MAX_STATES)                                     */
    uint16_t *next;         /* (MAX_STATES, 256) UNKNOWN: not looked at yet     */
    uint16_t *slots;        /* (N_SLOTS) hash table of states, number + 1       */
    int32_t  *numbers;      /* (MAX_NUMBERS)                                    */
    /* the state that is made */
    int       n_places;
    uint32_t  n_new;
    int32_t  *new_numbers;  /* (MAX_NUMBERS) places in the order in which they were found */
    uint32_t *places;       /* (MAX_PLACES) where each begins                   */
    uint16_t *place_slots;  /* (N_SLOTS) hash table of them, number + 1         */
    int32_t  *kept;         /* (MAX_NUMBERS) states while the table begins anew */
    /* masks that were made */
    int       next_mask;
    int       mask_states[N_MASKS]; /* -1: none */
    uint64_t *masks;        /* (N_MASKS, n_words) */
};

static uint32_t hash_of(const int32_t *numbers, uint32_t n)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (uint32_t i = 0; i < n; i++) hash = (hash ^ (uint32_t)numbers[i]) * 0x100000001b3u;
    return (uint32_t)(hash ^ hash >> 29);
}

static uint32_t size_of(const int32_t *place) { return 2 + 2 * (uint32_t)place[1]; }

/* ---- a state is made ---- */

static void begin_state(struct walker *walker)
{
    walker->n_places = 0;
    walker->n_new = 0;
    memset(walker->place_slots, 0, N_SLOTS * sizeof *walker->place_slots);
}

/* A place: a node above the first `depth` entries of a stack, and above one more where `top` is not NULL. Those that
 * are there, that cannot be finished, and that there is no room for are left out. */
static void add_place(struct walker *walker, int32_t node, const int32_t *stack, int32_t depth, const int32_t top[2])
{
    const int32_t height = depth + (top ? 1 : 0);
    if (node == NO_NODE || walker->program->need[node] > PROGRAM_MAX_DEPTH - height) return;
    if (walker->n_places == MAX_PLACES || walker->n_new + 2 + 2 * (uint32_t)height > MAX_NUMBERS) return;
    int32_t *place = walker->new_numbers + walker->n_new;
    place[0] = node;
    place[1] = height;
    if (depth > 0) memcpy(place + 2, stack, 2 * (size_t)depth * sizeof *place);
    if (top) memcpy(place + 2 + 2 * depth, top, 2 * sizeof *top);
    const uint32_t n = size_of(place);
    uint32_t       slot = hash_of(place, n) % N_SLOTS;
    for (; walker->place_slots[slot]; slot = (slot + 1) % N_SLOTS) {
        const int32_t *other = walker->new_numbers + walker->places[walker->place_slots[slot] - 1];
        if (size_of(other) == n && memcmp(other, place, n * sizeof *place) == 0) return;
    }
    walker->places[walker->n_places++] = walker->n_new;
    walker->place_slots[slot] = (uint16_t)walker->n_places;
    walker->n_new += n;
}

/* The part that was called, or one time of a repetition, is done. */
static void come_back(struct walker *walker, const int32_t *stack, int32_t depth)
{
    const int32_t *top = stack + 2 * (depth - 1);
    const struct node *node = &walker->program->nodes[top[0]];
    if (node->op == NODE_CALL) {
        add_place(walker, node->next, stack, depth - 1, NULL);
        return;
    }
    int32_t n_done = top[1] + 1;
    if (node->max == NO_LIMIT && n_done > node->min) n_done = node->min; /* more is not told apart */
    if (n_done >= node->min) add_place(walker, node->next, stack, depth - 1, NULL);
    if (n_done < node->max) add_place(walker, node->other, stack, depth - 1, (int32_t[]){top[0], n_done});
}

/* Adds where a place leads without a byte. False for one that waits for one, or for the end. */
static bool leads_on(struct walker *walker, uint32_t at)
{
    const int32_t     *place = walker->new_numbers + at, *stack = place + 2;
    const int32_t      number = place[0], depth = place[1];
    const struct node *node = &walker->program->nodes[number];
    switch (node->op) {
    case NODE_FORK:
        add_place(walker, node->next, stack, depth, NULL);
        add_place(walker, node->other, stack, depth, NULL);
        return true;
    case NODE_CALL: add_place(walker, node->other, stack, depth, (int32_t[]){number, 0}); return true;
    case NODE_REPEAT:
        if (node->min == 0) add_place(walker, node->next, stack, depth, NULL);
        add_place(walker, node->other, stack, depth, (int32_t[]){number, 0});
        return true;
    case NODE_RETURN: come_back(walker, stack, depth); return true;
    default: return false;
    }
}

static struct state describe(const struct walker *walker, const int32_t *numbers, uint32_t n)
{
    struct state state = {.n = n};
    for (uint32_t at = 0; at < n; at += size_of(numbers + at)) {
        const enum node_op op = walker->program->nodes[numbers[at]].op;
        state.may_end |= op == NODE_END || (op == NODE_UNTIL && walker->program->until_may_end);
        state.is_free |= op == NODE_UNTIL;
        state.has_tokens |= op == NODE_TOKEN;
        state.goes_on |= op != NODE_END;
    }
    return state;
}

/* The number of a state, which is new or not; UNKNOWN: there is no room. */
static int keep_state(struct walker *walker, const int32_t *numbers, uint32_t n)
{
    if (n == 0) return DEAD;
    uint32_t slot = hash_of(numbers, n) % N_SLOTS;
    for (; walker->slots[slot]; slot = (slot + 1) % N_SLOTS) {
        const struct state *state = &walker->states[walker->slots[slot] - 1];
        if (state->n == n && memcmp(walker->numbers + state->at, numbers, n * sizeof *numbers) == 0)
            return walker->slots[slot] - 1;
    }
    if (walker->n_states == MAX_STATES || n > MAX_NUMBERS - walker->n_numbers) return UNKNOWN;
    struct state *state = &walker->states[walker->n_states];
    *state = describe(walker, numbers, n);
    state->at = walker->n_numbers;
    memcpy(walker->numbers + state->at, numbers, n * sizeof *numbers);
    walker->n_numbers += n;
    memset(walker->next + 256 * (size_t)walker->n_states, 0xff, 256 * sizeof *walker->next);
    walker->slots[slot] = (uint16_t)++walker->n_states;
    return walker->n_states - 1;
}

/* All places that those added so far lead to; those that wait are the state. */
static int end_state(struct walker *walker)
{
    uint32_t n = 0; /* of the state, which moves to the front: never beyond the place that is looked at */
    for (int i = 0; i < walker->n_places; i++) {
        if (leads_on(walker, walker->places[i])) continue;
        const int32_t *place = walker->new_numbers + walker->places[i];
        const uint32_t size = size_of(place);
        memcpy(walker->kept + n, place, size * sizeof *place);
        n += size;
    }
    return keep_state(walker, walker->kept, n);
}

/* ---- bytes and tokens ---- */

static void add_after_byte(struct walker *walker, const int32_t *place, unsigned char byte)
{
    const struct program *program = walker->program;
    const struct node    *node = &program->nodes[place[0]];
    int32_t               to = NO_NODE;
    if (node->op == NODE_BYTES && cm_program_has(program, node->other, byte)) to = node->next;
    if (node->op == NODE_UNTIL) {
        const int32_t n_come = cm_program_until(program, node->other, byte);
        to = n_come == program->n_until ? node->next : place[0] - node->other + n_come;
    }
    add_place(walker, to, place + 2, place[1], NULL);
}

static int after_byte(struct walker *walker, int from, unsigned char byte)
{
    uint16_t *next = &walker->next[256 * (size_t)from + byte];
    if (*next != UNKNOWN) return *next;
    const struct state state = walker->states[from];
    begin_state(walker);
    for (uint32_t at = 0; at < state.n; at += size_of(walker->numbers + state.at + at))
        add_after_byte(walker, walker->numbers + state.at + at, byte);
    const int to = end_state(walker);
    *next = (uint16_t)to;
    return to;
}

static int after_text(struct walker *walker, int from, const char *text, int n, bool stays_free)
{
    for (int i = 0; i < n && from != DEAD && from != UNKNOWN; i++) {
        if (stays_free && !walker->states[from].is_free) return DEAD;
        from = after_byte(walker, from, (unsigned char)text[i]);
    }
    return from;
}

/* Places that wait for this very token. */
static int after_awaited(struct walker *walker, int from, int32_t token)
{
    const struct state state = walker->states[from];
    begin_state(walker);
    for (uint32_t at = 0; at < state.n; at += size_of(walker->numbers + state.at + at)) {
        const int32_t     *place = walker->numbers + state.at + at;
        const struct node *node = &walker->program->nodes[place[0]];
        if (node->op == NODE_TOKEN && node->other == token)
            add_place(walker, node->next, place + 2, place[1], NULL);
    }
    return end_state(walker);
}

static const struct special_token *special_of(const struct token_trie *trie, int32_t token)
{
    for (int32_t i = 0; i < trie->n_specials; i++)
        if (trie->specials[i].id == token) return &trie->specials[i];
    return NULL;
}

static bool ends_answer(const struct token_trie *trie, int32_t token)
{
    for (int32_t i = 0; i < trie->n_ends; i++)
        if (trie->ends[i] == token) return true;
    return false;
}

/* UNKNOWN: the table is full. */
static int after_token(struct walker *walker, int from, int32_t token)
{
    const struct token_trie *trie = walker->trie;
    if (walker->states[from].has_tokens) {
        const int to = after_awaited(walker, from, token);
        if (to != DEAD) return to;
    }
    if (ends_answer(trie, token)) return walker->states[from].may_end ? from : DEAD;
    const struct special_token *special = special_of(trie, token);
    if (special) return after_text(walker, from, special->text, special->n_bytes, true);
    int         n;
    const char *text = cm_token_bytes(trie->tokenizer, token, true, &n);
    return n > 0 && cm_token_is_usable(trie->tokenizer, token) ? after_text(walker, from, text, n, false) : DEAD;
}

/* ---- the table begins anew ---- */

static void forget_states(struct walker *walker)
{
    walker->n_numbers = 0;
    walker->states[DEAD] = (struct state){0};
    walker->n_states = 1;
    memset(walker->next, 0, 256 * sizeof *walker->next); /* from DEAD to DEAD */
    memset(walker->slots, 0, N_SLOTS * sizeof *walker->slots);
    for (int i = 0; i < N_MASKS; i++) walker->mask_states[i] = -1;
}

/* All but where the answer stands, and the place that was noted. */
static void begin_anew(struct walker *walker)
{
    const struct state current = walker->states[walker->current], marked = walker->states[walker->marked];
    memcpy(walker->kept, walker->numbers + current.at, current.n * sizeof *walker->kept);
    memcpy(walker->new_numbers, walker->numbers + marked.at, marked.n * sizeof *walker->new_numbers);
    forget_states(walker);
    walker->current = keep_state(walker, walker->kept, current.n);
    walker->marked = keep_state(walker, walker->new_numbers, marked.n);
    if (walker->marked == UNKNOWN) walker->marked = DEAD; /* two that fill the table: cannot be, by MAX_PLACES */
}

static calmoe_status reserve(struct calmoe_context *ctx, struct walker *walker)
{
    const char what[] = "a constraint";
    walker->states = cm_alloc(ctx, MAX_STATES, sizeof *walker->states, what);
    walker->next = cm_alloc(ctx, (size_t)MAX_STATES * 256, sizeof *walker->next, what);
    walker->slots = cm_alloc(ctx, N_SLOTS, sizeof *walker->slots, what);
    walker->numbers = cm_alloc(ctx, MAX_NUMBERS, sizeof *walker->numbers, what);
    walker->new_numbers = cm_alloc(ctx, MAX_NUMBERS, sizeof *walker->new_numbers, what);
    walker->places = cm_alloc(ctx, MAX_PLACES, sizeof *walker->places, what);
    walker->place_slots = cm_alloc(ctx, N_SLOTS, sizeof *walker->place_slots, what);
    walker->kept = cm_alloc(ctx, MAX_NUMBERS, sizeof *walker->kept, what);
    walker->masks = cm_alloc(ctx, (size_t)N_MASKS * (size_t)walker->n_words, sizeof *walker->masks, what);
    const bool has_all = walker->states && walker->next && walker->slots && walker->numbers && walker->new_numbers &&
                         walker->places && walker->place_slots && walker->kept && walker->masks;
    return has_all ? CALMOE_OK : CALMOE_NO_MEMORY;
}

calmoe_status cm_walker_open(struct calmoe_context *ctx, const struct program *program, const struct token_trie *trie,
                             int32_t n_vocab, struct walker **out)
{
    struct walker *walker = *out = cm_alloc(ctx, 1, sizeof *walker, "a constraint");
    if (!walker) return CALMOE_NO_MEMORY;
    walker->program = program;
    walker->trie = trie;
    walker->n_vocab = n_vocab;
    walker->n_words = (n_vocab + 63) / 64;
    const calmoe_status status = reserve(ctx, walker);
    if (status != CALMOE_OK) {
        cm_walker_close(out);
        return status;
    }
    forget_states(walker);
    cm_walker_begin(walker);
    return CALMOE_OK;
}

void cm_walker_close(struct walker **walker)
{
    if (!*walker) return;
    cm_free((*walker)->states);
    cm_free((*walker)->next);
    cm_free((*walker)->slots);
    cm_free((*walker)->numbers);
    cm_free((*walker)->new_numbers);
    cm_free((*walker)->places);
    cm_free((*walker)->place_slots);
    cm_free((*walker)->kept);
    cm_free((*walker)->masks);
    cm_free(*walker);
    *walker = NULL;
}

static int first_state(struct walker *walker)
{
    begin_state(walker);
    add_place(walker, walker->program->start, NULL, 0, NULL);
    return end_state(walker);
}

void cm_walker_begin(struct walker *walker)
{
    walker->current = first_state(walker);
    if (walker->current != UNKNOWN) return;
    walker->current = DEAD;
    begin_anew(walker);
    walker->current = first_state(walker);
}

bool cm_walker_accept(struct walker *walker, int32_t token)
{
    int to = after_token(walker, walker->current, token);
    if (to == UNKNOWN) {
        begin_anew(walker);
        to = after_token(walker, walker->current, token);
    }
    walker->current = to == UNKNOWN ? DEAD : to;
    return walker->current != DEAD;
}

bool cm_walker_is_complete(const struct walker *walker)
{
    const struct state *state = &walker->states[walker->current];
    return state->may_end && !state->goes_on;
}

void cm_walker_mark(struct walker *walker) { walker->marked = walker->current; }
void cm_walker_return(struct walker *walker) { walker->current = walker->marked; }

void cm_walker_copy(struct walker *walker, const struct walker *from)
{
    const struct state *state = &from->states[from->current];
    int to = keep_state(walker, from->numbers + state->at, state->n);
    if (to == UNKNOWN) {
        walker->current = DEAD;
        begin_anew(walker);
        to = keep_state(walker, from->numbers + state->at, state->n);
    }
    walker->current = to == UNKNOWN ? DEAD : to;
}

/* ---- masks ---- */

static void set_bit(uint64_t *mask, int32_t id) { mask[id / 64] |= (uint64_t)1 << id % 64; }

/* Plain tokens: the trie is walked, and where a byte leads nowhere, what hangs on it is passed over. False: the
 * table is full. strict: what there is no room for leads nowhere. */
static bool mask_plain(struct walker *walker, uint64_t *mask, bool strict)
{
    const struct token_trie *trie = walker->trie;
    uint16_t states[CM_TOKEN_BYTES + 1]; /* by depth */
    states[0] = (uint16_t)walker->current;
    for (uint32_t i = 0; i < trie->n_nodes;) {
        const struct trie_node *node = &trie->nodes[i];
        const int from = states[node->depth - 1];
        int       to = walker->next[256 * (size_t)from + node->byte];
        if (to == UNKNOWN) to = after_byte(walker, from, node->byte);
        if (to == UNKNOWN && !strict) return false;
        if (to == UNKNOWN || to == DEAD) {
            i = node->end;
            continue;
        }
        states[node->depth] = (uint16_t)to;
        for (int32_t id = node->token; id >= 0; id = trie->same[id]) set_bit(mask, id);
        i++;
    }
    return true;
}

static void mask_others(struct walker *walker, uint64_t *mask)
{
    const struct token_trie *trie = walker->trie;
    const struct state       state = walker->states[walker->current];
    for (int32_t i = 0; i < trie->n_ends && state.may_end; i++) set_bit(mask, trie->ends[i]);
    for (int32_t i = 0; i < trie->n_specials && state.is_free; i++) {
        const struct special_token *special = &trie->specials[i];
        const int to = after_text(walker, walker->current, special->text, special->n_bytes, true);
        if (to != DEAD && to != UNKNOWN) set_bit(mask, special->id);
    }
    for (uint32_t at = 0; at < state.n && state.has_tokens; at += size_of(walker->numbers + state.at + at)) {
        const struct node *node = &walker->program->nodes[walker->numbers[state.at + at]];
        if (node->op == NODE_TOKEN) set_bit(mask, node->other);
    }
}

static uint64_t *make_mask(struct walker *walker)
{
    const int     i = walker->next_mask;
    uint64_t     *mask = walker->masks + (size_t)i * (size_t)walker->n_words;
    const size_t  n_bytes = (size_t)walker->n_words * sizeof *mask;
    memset(mask, 0, n_bytes);
    if (!mask_plain(walker, mask, false)) {
        begin_anew(walker);
        memset(mask, 0, n_bytes);
        (void)mask_plain(walker, mask, true);
    }
    mask_others(walker, mask);
    walker->next_mask = (i + 1) % N_MASKS;
    walker->mask_states[i] = walker->current;
    return mask;
}

const uint64_t *cm_walker_mask(struct walker *walker)
{
    for (int i = 0; i < N_MASKS; i++)
        if (walker->mask_states[i] == walker->current) return walker->masks + (size_t)i * (size_t)walker->n_words;
    return make_mask(walker);
}
