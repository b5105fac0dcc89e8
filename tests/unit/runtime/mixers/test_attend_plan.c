/* test_attend_plan.c - the plan of attention: every span of every job has one owner, nobody has much more than another,
 * jobs that are cut have a slot of their own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "runtime/mixers/attend_plan.h"
#include "kernels/vector_ops.h"
#include "runtime/mixers/sequence_state.h"

enum { MAX_ROWS = 600, MAX_WORKERS = 64 };

static struct attend_group groups[MAX_ROWS];
static struct row          rows[MAX_ROWS];
static struct sequence sequences[MAX_ROWS];
static struct sequence_state plain; /* nothing stands before position 0 */

static int ratio_up(int a, int b) { return (a + b - 1) / b; }

static int below(struct random *random, int n) { return (int)cm_random_below(random, (uint64_t)n); }

static struct attend_plan plan_of(int n_rows, int n_workers, int n_kv_heads, int heads_per_kv)
{
    struct attend_plan plan = {.n_workers = n_workers, .n_kv_heads = n_kv_heads, .max_parts = 4096,
                               .heads_per_kv = heads_per_kv, .groups = groups};
    cm_attend_plan(&plan, rows, n_rows, 64);
    return plan;
}

static void check_groups(const struct attend_plan *plan, int n_rows)
{
    int next = 0;
    for (int g = 0; g < plan->n_groups; g++) {
        const struct attend_group *group = &plan->groups[g];
        assert_true(group->first_row == next && group->n_rows > 0);
        assert_true(group->n_rows == 1 || group->n_rows * plan->heads_per_kv <= 64);
        next += group->n_rows;
        for (int r = group->first_row + 1; r < next; r++) {
            assert_ptr_equal(rows[r].asked.sequence, rows[r - 1].asked.sequence);
            assert_int_equal(rows[r].asked.position, rows[r - 1].asked.position + 1);
        }
        assert_int_equal(group->n_positions, rows[next - 1].asked.position + 1);
    }
    assert_int_equal(next, n_rows);
}

/* Returns the largest cost that a worker has. */
static int64_t check_crew(const struct attend_plan *plan, const struct attend_crew *crew)
{
    static int64_t costs[MAX_WORKERS];
    static bool    has_slot[MAX_WORKERS], is_mine[MAX_WORKERS];
    int64_t        most = 0;
    for (int w = 0; w < crew->n_workers; w++) costs[w] = has_slot[w] = 0;
    for (int g = 0; g < plan->n_groups; g++)
        for (int head = 0; head < crew->n_heads; head++) {
            int next = 0, slot = -1, n_owners = 0;
            bool is_cut = false;
            for (int w = 0; w < crew->n_workers; w++) {
                int begin, end;
                cm_attend_groups(plan, crew, w, &begin, &end);
                const struct attend_share share = cm_attend_share(plan, crew, w, g, head);
                is_mine[w] = share.begin < share.end;
                if (!is_mine[w]) continue;
                assert_true(begin <= g && g < end);
                assert_int_equal(share.begin, next); /* in order, each once */
                assert_int_equal(share.n_spans, ratio_up(plan->groups[g].n_positions, CM_ATTEND_SPAN));
                assert_true(slot == -1 || share.slot == slot);
                slot = share.slot;
                next = share.end;
                is_cut = share.is_cut;
                n_owners++;
                const int blocks = ratio_up(plan->groups[g].n_positions, CM_KV_BLOCK);
                const int last = share.end * CM_SPAN_BLOCKS < blocks ? share.end * CM_SPAN_BLOCKS : blocks;
                costs[w] += (int64_t)plan->groups[g].n_rows * (last - share.begin * CM_SPAN_BLOCKS);
            }
            assert_int_equal(next, ratio_up(plan->groups[g].n_positions, CM_ATTEND_SPAN));
            assert_int_equal(is_cut, n_owners > 1);
            if (is_cut) {
                assert_false(has_slot[slot]);
                has_slot[slot] = true;
                assert_true(plan->groups[g].n_rows * plan->heads_per_kv * next <= plan->max_parts);
            }
        }
    for (int w = 0; w < crew->n_workers; w++) most = costs[w] > most ? costs[w] : most;
    return most;
}

static int64_t check_shares(const struct attend_plan *plan)
{
    const struct attend_crew all = {plan->n_workers, plan->n_kv_heads};
    return check_crew(plan, &all);
}

static int sequence_rows(int first, int n, int position)
{
    sequences[first].state = &plain;
    for (int i = 0; i < n; i++)
        rows[first + i] = (struct row){.asked = {.sequence = &sequences[first], .position = position + i}};
    return first + n;
}

/* One row, 4 kv heads of 8 queries, 32,768 positions: 256 pieces, even on any number of workers. */
static void one_long_row(void **state)
{
    (void)state;
    sequence_rows(0, 1, 32767);
    for (int n_workers = 1; n_workers <= MAX_WORKERS; n_workers++) {
        const struct attend_plan plan = plan_of(1, n_workers, 4, 8);
        check_groups(&plan, 1);
        assert_int_equal(plan.cost, 512);
        const int64_t fair = ratio_up(256, n_workers) * CM_SPAN_BLOCKS;
        assert_true(check_shares(&plan) <= fair);
    }
}

/* One row, one kv head, two workers: however many spans there are, and however short the last one is, neither has more
 * than its half and half a span. */
static void two_workers(void **state)
{
    (void)state;
    for (int position = CM_ATTEND_SPAN; position < 20000; position += 61) {
        sequence_rows(0, 1, position);
        const struct attend_plan plan = plan_of(1, 2, 1, 20);
        check_groups(&plan, 1);
        assert_true(check_shares(&plan) <= (plan.cost + 1) / 2 + CM_SPAN_BLOCKS / 2);
    }
}

static void a_prompt(void **state)
{
    (void)state;
    static const int heads[][2] = {{16, 1}, {4, 8}, {2, 3}, {1, 71}, {1, 1}};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        for (int n_workers = 1; n_workers <= MAX_WORKERS; n_workers += 7) {
            const int n = sequence_rows(0, 512, 4096);
            const struct attend_plan plan = plan_of(n, n_workers, heads[i][0], heads[i][1]);
            check_groups(&plan, n);
            assert_true((double)check_shares(&plan) < 1.25 * (double)plan.cost * heads[i][0] / n_workers);
        }
}

/* Sequences of any length, rows of each in any number: nothing is lost, whatever the workers. */
static void mixtures(void **state)
{
    (void)state;
    struct random random = cm_random(21);
    for (int round = 0; round < 300; round++) {
        int n = 0;
        while (n < 200) {
            const int many = below(&random, 3) == 0 ? 1 + below(&random, 100) : 1;
            n = sequence_rows(n, many, below(&random, round % 2 ? 300 : 300000));
            if (below(&random, 40) == 0) break;
        }
        const struct attend_plan plan = plan_of(n, 1 + below(&random, MAX_WORKERS), 1 + below(&random, 8),
                                                1 + below(&random, 9));
        check_groups(&plan, n);
        check_shares(&plan);
        const struct attend_crew crew = {1 + below(&random, plan.n_workers), 1 + below(&random, plan.n_kv_heads)};
        check_crew(&plan, &crew); /* of a node that has some of the workers and heads */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_long_row), cmocka_unit_test(two_workers),
                                       cmocka_unit_test(a_prompt), cmocka_unit_test(mixtures)};
    return cmocka_run_group_tests_name("attend plan", tests, NULL, NULL);
}
