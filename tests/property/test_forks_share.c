/* test_forks_share.c - forks of a long text take hardly any memory for it, and each of them, whatever the others write,
 * where they go back to, and who is closed first, gives the bits of a session that read all by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "runtime/engine/handles.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/running.h"
#include "tests/support/tiny_model.h"

enum { N_FORKS = 16, N_TEXT = 4000, N_OWN = 40, CONTEXT = 4608, N_ROWS = 256, MAX_VOCAB = 1024, N_TEXTS = 8 };

static char    path[600];
static int32_t text[N_TEXT];

static struct running open_engine(void)
{
    calmoe_engine_options engine = running_options(1, NULL);
    calmoe_session_options session;
    engine.max_rows = N_ROWS;
    calmoe_session_options_init(&session);
    session.context = CONTEXT;
    session.ignore_end = 1;
    return running_open(path, &engine, &session);
}

/* Pages of keys and values that the session's own home has. */
static size_t pages_of(const calmoe_session *session)
{
    const struct kv_cache *kv = &session->state.kv;
    size_t n = 0;
    for (int i = 0; i < kv->n_parts; i++) {
        struct node_pages pages;
        assert_true(cm_node_block_check(&session->engine->topology, cm_kv_store_memory(&kv->parts[i].all), &pages));
        n += pages.n_touched;
    }
    return n;
}

static void read_tokens(struct running *r, calmoe_session *session, const int32_t *tokens, int n, int logits)
{
    for (int i = 0; i < n; i += N_ROWS) {
        const int          left = n - i;
        const calmoe_chunk chunk = {.session = session, .tokens = tokens + i, .n_tokens = left < N_ROWS ? left : N_ROWS,
                                    .logits = left <= N_ROWS ? logits : CALMOE_LOGITS_NONE};
        running_must(r->context, calmoe_engine_step(r->engine, &chunk, 1));
    }
}

/* What fork i reads: it goes back to some place of the text and reads on with tokens of its own. */
static int own_text(int i, int32_t own[N_OWN])
{
    static const int back[N_TEXTS] = {N_TEXT, 3990, 3584, 3583, 2048, 1000, 512, 3};
    for (int k = 0; k < N_OWN; k++) own[k] = 40 + (i % N_TEXTS * 13 + k * 7) % 60;
    return back[i % N_TEXTS];
}

static void check_logits(struct running *r, calmoe_session *session, int i, const float *wanted)
{
    const float *found = calmoe_session_logits(session, 0);
    if (memcmp(found, wanted, (size_t)r->n_vocab * sizeof *found) != 0) fail_msg("fork %d gives other logits", i);
}

static void forks_of_a_long_text(void **state)
{
    (void)state;
    static float wanted[N_TEXTS][MAX_VOCAB];
    struct running r = open_engine(), fresh = open_engine();
    calmoe_session *forks[N_FORKS];
    int32_t own[N_OWN];
    assert_true(r.n_vocab <= MAX_VOCAB);
    for (int i = 0; i < N_TEXTS; i++) {
        const int n = own_text(i, own);
        running_must(fresh.context, calmoe_session_rewind(fresh.session, 0));
        read_tokens(&fresh, fresh.session, text, n, CALMOE_LOGITS_NONE);
        read_tokens(&fresh, fresh.session, own, N_OWN, CALMOE_LOGITS_LAST);
        memcpy(wanted[i], calmoe_session_logits(fresh.session, 0), (size_t)r.n_vocab * sizeof wanted[i][0]);
    }
    read_tokens(&r, r.session, text, N_TEXT, CALMOE_LOGITS_NONE);
    const size_t whole = pages_of(r.session);
    size_t       of_forks = 0;
    for (int i = 0; i < N_FORKS; i++) {
        running_must(r.context, calmoe_session_fork(i % 3 == 2 ? forks[i - 1] : r.session, &forks[i]));
        of_forks += pages_of(forks[i]);
    }
    print_message("a text of %d tokens takes %zu pages; %d forks of it took %zu\n", N_TEXT, whole, N_FORKS, of_forks);
    assert_true(whole > 100);
    assert_true(of_forks < whole * N_FORKS / 6); /* an eighth of the text is in the span that is begun */
    for (int round = 0; round < 2; round++) /* the second goes back in what is its own now */
        for (int i = N_FORKS - 1; i >= 0; i--) {
            running_must(r.context, calmoe_session_rewind(forks[i], own_text(i, own)));
            read_tokens(&r, forks[i], own, N_OWN, CALMOE_LOGITS_LAST);
            check_logits(&r, forks[i], i, wanted[i % N_TEXTS]);
        }
    /* The text's own session writes over it, and is closed; then forks are, in turn. */
    running_must(r.context, calmoe_session_rewind(r.session, 100));
    read_tokens(&r, r.session, own, N_OWN, CALMOE_LOGITS_NONE);
    calmoe_session_close(&r.session);
    for (int i = 0; i < N_FORKS; i++) {
        running_must(r.context, calmoe_session_rewind(forks[i], own_text(i, own)));
        read_tokens(&r, forks[i], own, N_OWN, CALMOE_LOGITS_LAST);
        check_logits(&r, forks[i], i, wanted[i % N_TEXTS]);
        calmoe_session_close(&forks[i]);
    }
    running_close(&r);
    running_close(&fresh);
}

static int open_all(void **state)
{
    struct tiny_model tiny = tiny_model();
    if (open_folder(state)) return 1;
    tiny.context = CONTEXT;
    tiny.n_layers = 3;
    snprintf(path, sizeof path, "%s", temp_file(folder, "forks.gguf"));
    tiny_model_write(&tiny, path);
    struct random random = cm_random(1);
    for (int i = 0; i < N_TEXT; i++) text[i] = 30 + (int32_t)cm_random_below(&random, 90);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(forks_of_a_long_text)};
    return cmocka_run_group_tests_name("forks share", tests, open_all, close_folder);
}
