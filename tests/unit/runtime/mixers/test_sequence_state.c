/* test_sequence_state.c - what a sequence keeps: going back, copies, and bytes for files; by position, by window, and
 * of fixed size, for which a stand-in of so many bytes is given to the state (real ones: test_recurrent_sequences). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "base/memory.h"
#include "runtime/mixers/sequence_state.h"

enum { N_LAYERS = 3, WINDOW = 100, CONTEXT = 8192, FIXED = 256 };

static struct topology topology;

static int open_machine(void **state)
{
    (void)state;
    return cm_topology_open(NULL, "numa:1 core:1 pu:1", &topology) == CALMOE_OK ? 0 : -1;
}

static int close_machine(void **state)
{
    (void)state;
    cm_topology_close(&topology);
    return 0;
}

/* Layer 1 sees a window. A state keeps pointers to machine, plan and shape, so these are static and outlive it. */
static void open_state(struct sequence_state *out, int n_positions, int max_rows, bool has_window)
{
    static struct layer_spec layers[N_LAYERS];
    for (int i = 0; i < N_LAYERS; i++)
        layers[i] = (struct layer_spec){.attention = {.n_heads = 2, .n_kv_heads = 2, .head_size = 16, .value_size = 8,
                                                      .window = has_window && i == 1 ? WINDOW : 0}};
    static const struct model_spec spec = {.n_layers = N_LAYERS, .layers = layers};
    static const struct plan       plan = {.n_nodes = 1, .n_kv_heads = 2, .kv_heads = {2}};
    static const struct machine    machine = {.topology = &topology, .plan = &plan};
    const struct state_place place = {.type = KV_F32, .n_positions = n_positions, .max_rows = max_rows,
                                      .snapshot_bytes = 4 * FIXED};
    assert_int_equal(cm_sequence_state_open(&machine, &spec, &place, out), CALMOE_OK);
}

/* As if a layer had a state of FIXED bytes. */
static void give_fixed(struct sequence_state *state, int max_snapshots)
{
    state->fixed_bytes = FIXED;
    state->max_snapshots = max_snapshots;
    state->fixed = cm_alloc(NULL, FIXED, 1, "a stand-in");
    state->snapshots = cm_alloc(NULL, (size_t)max_snapshots, sizeof *state->snapshots, "a stand-in");
    assert_non_null(state->fixed);
    assert_non_null(state->snapshots);
}

/* The stand-in's state after `position` positions of one text. */
static void read_to(struct sequence_state *state, int position)
{
    memset(state->fixed, position % 251 + 1, FIXED);
    cm_sequence_state_note(state, position);
}

static void mark(struct sequence_state *state, int layer, int position)
{
    float *value = cm_kv_region(&state->kv, layer, 1, position / CM_ATTEND_SPAN).values;
    value[position % CM_ATTEND_SPAN * 8] = (float)position;
}

static float marked(const struct sequence_state *state, int layer, int position)
{
    const float *value = cm_kv_region(&state->kv, layer, 1, position / CM_ATTEND_SPAN).values;
    return value[position % CM_ATTEND_SPAN * 8];
}

static void write_positions(struct sequence_state *state, int n)
{
    for (int p = 0; p < n; p++)
        for (int layer = 0; layer < N_LAYERS; layer++) mark(state, layer, p);
    cm_sequence_state_note(state, n);
}

static void keys_by_position_go_back_anywhere(void **state)
{
    (void)state;
    struct sequence_state s;
    open_state(&s, CONTEXT, 512, false);
    write_positions(&s, 5000);
    assert_int_equal(cm_sequence_state_rewind(&s, 4999), 4999);
    assert_int_equal(cm_sequence_state_rewind(&s, 17), 17);
    assert_int_equal(cm_sequence_state_rewind(&s, 0), 0);
    cm_sequence_state_close(&s);
    cm_sequence_state_close(&s);
}

static void windows_go_back_as_far_as_they_remember(void **state)
{
    (void)state;
    struct sequence_state s;
    open_state(&s, CONTEXT, 512, true);
    write_positions(&s, 5000);
    assert_int_equal(cm_sequence_state_rewind(&s, 4990), 4990);
    assert_int_equal(cm_sequence_state_rewind(&s, 1000), 0); /* all is read again */
    write_positions(&s, 600);
    assert_int_equal(cm_sequence_state_rewind(&s, 5), 5); /* the long text before it is forgotten */
    cm_sequence_state_close(&s);
}

static void a_fixed_state_goes_back_to_a_snapshot(void **state)
{
    (void)state;
    struct sequence_state s;
    open_state(&s, CONTEXT, 512, false);
    give_fixed(&s, 3);
    for (int p = 100; p <= 300; p += 100) {
        read_to(&s, p);
        assert_int_equal(cm_sequence_state_snapshot(&s, p), CALMOE_OK);
    }
    read_to(&s, 350);
    assert_int_equal(cm_sequence_state_rewind(&s, 320), 300);
    assert_int_equal(s.fixed[0], 300 % 251 + 1);
    assert_int_equal(cm_sequence_state_rewind(&s, 299), 200);
    assert_int_equal(s.fixed[FIXED - 1], 201);
    assert_int_equal(s.n_snapshots, 2); /* what lies behind is another text from now on */
    assert_int_equal(cm_sequence_state_rewind(&s, 50), 0);
    assert_int_equal(s.fixed[0], 0);
    cm_sequence_state_close(&s);
}

static void the_least_recently_used_snapshot_goes(void **state)
{
    (void)state;
    struct sequence_state s;
    open_state(&s, CONTEXT, 512, false);
    give_fixed(&s, 2);
    for (int p = 10; p <= 20; p += 10) {
        read_to(&s, p);
        assert_int_equal(cm_sequence_state_snapshot(&s, p), CALMOE_OK);
    }
    read_to(&s, 15);
    assert_int_equal(cm_sequence_state_rewind(&s, 20), 20);
    read_to(&s, 30);
    assert_int_equal(cm_sequence_state_snapshot(&s, 30), CALMOE_OK); /* 10 was used longest ago */
    assert_int_equal(s.n_snapshots, 2);
    assert_int_equal(cm_sequence_state_rewind(&s, 19), 0);
    cm_sequence_state_close(&s);
}

static void a_snapshot_that_is_touched_stays(void **state)
{
    (void)state;
    struct sequence_state s;
    open_state(&s, CONTEXT, 512, false);
    give_fixed(&s, 2);
    for (int p = 10; p <= 30; p += 10) {
        if (p == 30) cm_sequence_state_touch(&s, 10); /* so that 20 goes */
        read_to(&s, p);
        assert_int_equal(cm_sequence_state_snapshot(&s, p), CALMOE_OK);
    }
    cm_sequence_state_touch(&s, 15); /* there is none */
    read_to(&s, 40);
    assert_int_equal(cm_sequence_state_rewind(&s, 29), 10);
    cm_sequence_state_close(&s);
}

/* A copy goes back to the snapshots of what it is a copy of, whatever becomes of that. */
static void copies_share_snapshots(void **state)
{
    (void)state;
    struct sequence_state from, to;
    int                   n_shared = 0;
    open_state(&from, CONTEXT, 512, false);
    open_state(&to, CONTEXT, 512, false);
    give_fixed(&from, 3);
    give_fixed(&to, 2);
    for (int p = 100; p <= 300; p += 100) {
        read_to(&from, p);
        assert_int_equal(cm_sequence_state_snapshot(&from, p), CALMOE_OK);
    }
    read_to(&from, 350);
    assert_int_equal(cm_sequence_state_copy(&from, 350, &to, &n_shared), 350);
    assert_int_equal(to.n_snapshots, 2); /* for which it has room */
    assert_ptr_equal(to.snapshots[0].kept, from.snapshots[1].kept);
    assert_int_equal(cm_sequence_state_rewind(&from, 250), 200);
    memset(from.fixed, 99, FIXED);
    assert_int_equal(cm_sequence_state_snapshot(&from, 200), CALMOE_OK); /* of another text, say */
    cm_sequence_state_close(&from);
    assert_int_equal(cm_sequence_state_rewind(&to, 320), 300);
    assert_int_equal(to.fixed[0], 300 % 251 + 1);
    assert_int_equal(cm_sequence_state_rewind(&to, 250), 200);
    assert_int_equal(to.fixed[0], 201);
    assert_int_equal(cm_sequence_state_rewind(&to, 150), 0);
    cm_sequence_state_close(&to);
}

/* Going back to where the state stands changes nothing; where a step broke off it stands nowhere. */
static void a_state_that_stands_there_is_kept(void **state)
{
    (void)state;
    struct sequence_state s;
    open_state(&s, CONTEXT, 512, false);
    give_fixed(&s, 2);
    read_to(&s, 50);
    assert_int_equal(cm_sequence_state_rewind(&s, 50), 50);
    assert_int_equal(s.fixed[0], 51);
    cm_sequence_state_lose(&s);
    assert_int_equal(cm_sequence_state_rewind(&s, 50), 0);
    assert_int_equal(s.fixed[0], 0);
    cm_sequence_state_close(&s);
}

static void a_snapshot_without_memory_is_not_kept(void **state)
{
    (void)state;
    struct sequence_state s;
    open_state(&s, CONTEXT, 512, false);
    give_fixed(&s, 2);
    cm_fail_request(1);
    assert_int_equal(cm_sequence_state_snapshot(&s, 10), CALMOE_NO_MEMORY);
    cm_fail_request(0);
    assert_int_equal(s.n_snapshots, 0);
    cm_sequence_state_close(&s);
}

/* Into a cache of another length, and with another ring. */
static void a_copy_has_what_is_left(void **state)
{
    (void)state;
    struct sequence_state from, to;
    open_state(&from, CONTEXT, 512, true);
    open_state(&to, CONTEXT + 4096, 64, true);
    give_fixed(&from, 1);
    give_fixed(&to, 1);
    write_positions(&from, 3000);
    read_to(&from, 3000);
    cm_sequence_state_copy(&from, 3000, &to, &(int){0});
    assert_memory_equal(from.fixed, to.fixed, FIXED);
    for (int p = 0; p < 3000; p++) {
        assert_true(marked(&to, 0, p) == (float)p);
        assert_true(marked(&to, 2, p) == (float)p);
        if (p >= 3000 - WINDOW) assert_true(marked(&to, 1, p) == (float)p);
    }
    cm_sequence_state_close(&from);
    cm_sequence_state_close(&to);
}

/* Position p of layer 0 of a text of its own. */
static void mark_as(struct sequence_state *state, int position, int text)
{
    float *value = cm_kv_region(&state->kv, 0, 1, position / CM_ATTEND_SPAN).values;
    value[position % CM_ATTEND_SPAN * 8] = (float)(position + 100000 * text);
}

static void check_text(const struct sequence_state *state, int n_common, int n, int text)
{
    for (int p = 0; p < n; p += 7)
        assert_true(marked(state, 0, p) == (float)(p + (p < n_common ? 0 : 100000 * text)));
}

/* As a step does. */
static void write_as(struct sequence_state *state, int first, int end, int text)
{
    assert_int_equal(cm_sequence_state_own(state, first, end, first), CALMOE_OK);
    for (int p = first; p < end; p++) mark_as(state, p, text);
    cm_sequence_state_note(state, end);
}

/* Four sequences of one beginning: copies, a copy of a copy; each goes back to another place and writes on. Whoever
 * closes first, the others have what they had. */
static void spans_are_shared_until_they_are_written(void **state)
{
    (void)state;
    enum { N = 2600, SHARED = 2560 };
    for (int first_to_close = 0; first_to_close < 4; first_to_close++) {
        const long n_live = cm_live_blocks();
        struct sequence_state s[4];
        int n_shared[4] = {0, N, N, N};
        for (int i = 0; i < 4; i++) open_state(&s[i], CONTEXT, 64, false);
        write_as(&s[0], 0, N, 0);
        for (int i = 1; i < 4; i++) {
            assert_int_equal(cm_sequence_state_copy(&s[i == 3 ? 2 : 0], N, &s[i], &n_shared[i]), N);
            assert_int_equal(n_shared[i], SHARED);
            assert_ptr_equal(cm_kv_region(&s[i].kv, 0, 1, 4).keys, cm_kv_region(&s[0].kv, 0, 1, 4).keys);
            assert_ptr_not_equal(cm_kv_region(&s[i].kv, 0, 1, 5).keys, cm_kv_region(&s[0].kv, 0, 1, 5).keys);
        }
        const int goes_back_to[] = {N, 1300, 0, 1536}; /* 3 spans are a border */
        for (int i = 3; i >= 0; i--) write_as(&s[i], goes_back_to[i], 3000, i);
        for (int i = 0; i < 4; i++) check_text(&s[i], goes_back_to[i], 3000, i);
        write_as(&s[0], 10, 700, 5); /* the owner, of whose home others still have spans */
        check_text(&s[1], 1300, 3000, 1);
        check_text(&s[3], 1536, 3000, 3);
        cm_sequence_state_close(&s[first_to_close]);
        for (int i = 0; i < 4; i++) {
            if (i == first_to_close) continue;
            if (i > 0) check_text(&s[i], goes_back_to[i], 3000, i);
            write_as(&s[i], 500, 600, 7);
            assert_true(marked(&s[i], 0, 499) == (i == 0 ? 500499 : i == 2 ? 200499 : 499));
        }
        for (int i = 0; i < 4; i++)
            if (i != first_to_close) cm_sequence_state_close(&s[i]);
        assert_int_equal(cm_live_blocks(), n_live);
    }
}

static void no_memory_for_a_copy(void **state)
{
    (void)state;
    struct sequence_state from, to;
    int n_shared = 2000;
    open_state(&from, CONTEXT, 64, false);
    open_state(&to, CONTEXT, 64, false);
    write_as(&from, 0, 2000, 0);
    (void)cm_sequence_state_copy(&from, 2000, &to, &n_shared);
    for (long nth = 1; nth <= 3; nth++) { /* the owner needs another home */
        cm_fail_request(nth);
        assert_int_equal(cm_sequence_state_own(&from, 100, 101, 100), CALMOE_NO_MEMORY);
        cm_fail_request(0);
        check_text(&from, 2000, 2000, 0);
    }
    write_as(&from, 100, 2000, 1);
    check_text(&to, 2000, 2000, 0);
    cm_sequence_state_close(&from);
    cm_sequence_state_close(&to);
}

struct tape {
    uint8_t *bytes;
    size_t   n, at, most;
};

static calmoe_status put(void *user, const void *bytes, size_t n)
{
    struct tape *tape = user;
    if (tape->n + n > tape->most) return CALMOE_FULL;
    memcpy(tape->bytes + tape->n, bytes, n);
    tape->n += n;
    return CALMOE_OK;
}

static calmoe_status get(void *user, void *bytes, size_t n)
{
    struct tape *tape = user;
    if (tape->at + n > tape->n) return CALMOE_IO;
    memcpy(bytes, tape->bytes + tape->at, n);
    tape->at += n;
    return CALMOE_OK;
}

/* What a smaller ring had lost, a copy of it cannot have, however large its own is. */
static void a_copy_goes_back_no_further(void **state)
{
    (void)state;
    struct sequence_state from, to, again;
    open_state(&from, CONTEXT, 64, true); /* two spans */
    open_state(&to, CONTEXT, 2048, true);
    open_state(&again, CONTEXT, 2048, true);
    write_positions(&from, 3000);
    cm_sequence_state_copy(&from, 2990, &to, &(int){0});
    cm_sequence_state_copy(&to, 2980, &again, &(int){0});
    for (int p = 2048; p < 2980; p++) assert_true(marked(&again, 1, p) == (float)p);
    assert_int_equal(cm_sequence_state_rewind(&again, 2048 + WINDOW - 1), 2048 + WINDOW - 1);
    assert_int_equal(cm_sequence_state_rewind(&again, 2048 + WINDOW - 2), 0);
    write_positions(&again, 3000);
    assert_int_equal(cm_sequence_state_rewind(&again, 1100), 1100); /* its own ring */
    cm_sequence_state_close(&from);
    cm_sequence_state_close(&to);
    cm_sequence_state_close(&again);
}

static void bytes_come_back(void **state)
{
    (void)state;
    static uint8_t memory[1 << 22];
    struct sequence_state from, to;
    struct tape tape = {.bytes = memory, .most = sizeof memory};
    open_state(&from, CONTEXT, 512, true);
    open_state(&to, CONTEXT / 2, 4096, true); /* another context, and no ring */
    give_fixed(&from, 1);
    give_fixed(&to, 1);
    write_positions(&from, 3010);
    read_to(&from, 3000);
    assert_int_equal(cm_sequence_state_write(&from, 3000, put, &tape), CALMOE_OK);
    assert_int_equal(tape.n, cm_sequence_state_bytes(&from, 3000));
    assert_int_equal(tape.n, cm_sequence_state_bytes(&to, 3000));
    assert_int_equal(cm_sequence_state_read(&to, 3000, get, &tape), CALMOE_OK);
    assert_int_equal(tape.at, tape.n);
    assert_memory_equal(from.fixed, to.fixed, FIXED);
    for (int p = 0; p < 3000; p++) {
        assert_true(marked(&to, 0, p) == (float)p);
        if (p >= 3000 - WINDOW) assert_true(marked(&to, 1, p) == (float)p);
    }
    to.fixed_bytes = 0; /* which has no snapshot */
    assert_int_equal(cm_sequence_state_rewind(&to, 2560 + WINDOW - 1), 2560 + WINDOW - 1);
    assert_int_equal(cm_sequence_state_rewind(&to, 2560 + WINDOW - 2), 0); /* the file had no more of the window */
    to.fixed_bytes = FIXED;
    tape.at = 0;
    tape.n--;
    assert_int_equal(cm_sequence_state_read(&to, 3000, get, &tape), CALMOE_IO);
    tape = (struct tape){.bytes = memory, .most = 1000};
    assert_int_equal(cm_sequence_state_write(&from, 3000, put, &tape), CALMOE_FULL);
    cm_sequence_state_close(&from);
    cm_sequence_state_close(&to);
}

/* What was taken back is in no file: two sequences that differ in that alone give the same bytes. */
static void what_was_taken_back_is_wiped(void **state)
{
    (void)state;
    static uint8_t memory[2][1 << 20];
    struct tape tapes[2] = {{.bytes = memory[0], .most = sizeof memory[0]},
                            {.bytes = memory[1], .most = sizeof memory[1]}};
    for (int i = 0; i < 2; i++) {
        struct sequence_state s;
        open_state(&s, CONTEXT, 512, true);
        for (int p = 0; p < 700; p++)
            for (int layer = 0; layer < N_LAYERS; layer++) {
                const struct kv_region region = cm_kv_region(&s.kv, layer, p % 2, p / CM_ATTEND_SPAN);
                const int within = p % CM_ATTEND_SPAN;
                float *keys = region.keys, *values = region.values;
                for (int d = 0; d < 16; d++) keys[(within / 64 * 16 + d) * 64 + within % 64] = (float)(p + d);
                for (int d = 0; d < 8; d++) values[within * 8 + d] = (float)(p - d);
            }
        cm_sequence_state_note(&s, i == 0 ? 700 : 651);
        for (int layer = 0; layer < N_LAYERS && i == 1; layer++) /* as if 700 had never been read */
            for (int head = 0; head < 2; head++) {
                const struct kv_region region = cm_kv_region(&s.kv, layer, head, 1);
                float *keys = region.keys, *values = region.values;
                for (int p = 651 - 512; p < 192; p++) {
                    for (int d = 0; d < 16; d++) keys[(p / 64 * 16 + d) * 64 + p % 64] = 0;
                    for (int d = 0; d < 8; d++) values[p * 8 + d] = 0;
                }
            }
        if (i == 0) cm_sequence_state_wipe(&s, 651);
        assert_int_equal(cm_sequence_state_write(&s, 651, put, &tapes[i]), CALMOE_OK);
        cm_sequence_state_wipe(&s, 640); /* a block's beginning: there is nothing to wipe */
        cm_sequence_state_close(&s);
    }
    assert_int_equal(tapes[0].n, tapes[1].n);
    assert_memory_equal(memory[0], memory[1], tapes[0].n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_by_position_go_back_anywhere),
        cmocka_unit_test(windows_go_back_as_far_as_they_remember),
        cmocka_unit_test(a_fixed_state_goes_back_to_a_snapshot),
        cmocka_unit_test(a_snapshot_that_is_touched_stays),
        cmocka_unit_test(copies_share_snapshots),
        cmocka_unit_test(a_state_that_stands_there_is_kept),
        cmocka_unit_test(the_least_recently_used_snapshot_goes),
        cmocka_unit_test(a_snapshot_without_memory_is_not_kept),
        cmocka_unit_test(a_copy_has_what_is_left),
        cmocka_unit_test(a_copy_goes_back_no_further),
        cmocka_unit_test(spans_are_shared_until_they_are_written),
        cmocka_unit_test(no_memory_for_a_copy),
        cmocka_unit_test(bytes_come_back),
        cmocka_unit_test(what_was_taken_back_is_wiped),
    };
    return cmocka_run_group_tests_name("sequence state", tests, open_machine, close_machine);
}
