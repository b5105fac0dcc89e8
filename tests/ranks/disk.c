/* disk.c - experts on disk on several ranks: each streams its rows of them, with the fewest slots that work; from the
 * model's file, or packed. A read that fails on one rank ends the step on all; the session stands where it stood. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <calmoe/pack.h>

#include "base/disk_file.h"
#include "tests/ranks/driver.h"

enum { FIRST_FAILING = 3, N_FAILING = 40, N_READ = 12 };

static bool is_last_rank(const struct run *run)
{
    return calmoe_ranks_own(run->ranks) == calmoe_ranks_count(run->ranks) - 1;
}

/* Each rank's own: what it refuses to work with less than. */
void limit_memory(struct run *run, calmoe_engine_options *options)
{
    static const char  before[] = "may need at once; ";
    unsigned long long kib = 0;
    options->memory_limit = 1;
    const calmoe_status status = calmoe_engine_open(run->model, options, &run->engine);
    const char         *at = strstr(calmoe_context_message(run->context), before);
    if (status != CALMOE_INVALID_ARGUMENT || !at ||
        sscanf(at + strlen(before), "%lluKiB is the smallest that works", &kib) != 1) {
        printf("FAIL rank %d, %s: %s\n", calmoe_ranks_own(run->ranks), run->path,
               calmoe_context_message(run->context));
        exit(1);
    }
    options->memory_limit = kib * 1024;
    options->disk_reads = calmoe_ranks_own(run->ranks) % 2 ? CALMOE_DISK_DIRECT : CALMOE_DISK_CACHED;
}

const char *pack_experts(const struct run *run)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/experts.%d.packed", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp",
             calmoe_ranks_own(run->ranks));
    must(run, calmoe_pack(run->model, path, NULL));
    return path;
}

void read_disk(struct run *run)
{
    calmoe_disk_stats stats = {.size = sizeof stats};
    read_steps(run);
    must(run, calmoe_engine_get_disk_stats(run->engine, &stats));
    if (stats.n_reads > 0 && stats.n_slots < stats.n_experts) return;
    if (strstr(run->path, "/golden/")) return; /* some are smaller than what reads them */
    printf("FAIL %s: %d of %d experts have slots, %llu were read\n", run->path, stats.n_slots, stats.n_experts,
           (unsigned long long)stats.n_reads);
    exit(1);
}

/* On the last rank, once its engine is open. */
void let_reads_fail(const struct run *run)
{
    if (is_last_rank(run) && calmoe_ranks_count(run->ranks) > 1) cm_disk_fail(FIRST_FAILING, N_FAILING, EIO);
}

/* Token by token; the same token again for as long as some rank cannot read what it needs. */
void read_failing(struct run *run)
{
    char                   wanted[80];
    int                    n_failed = 0;
    calmoe_session_options options;
    calmoe_session        *session;
    calmoe_session_options_init(&options);
    options.context = CONTEXT;
    must(run, calmoe_session_open(run->engine, &options, &session));
    snprintf(wanted, sizeof wanted, "rank %d could not read an expert from its disk",
             calmoe_ranks_count(run->ranks) - 1);
    for (int i = 0; i < N_READ;) {
        const calmoe_chunk  chunk = {session, run->tokens + i, 1, CALMOE_LOGITS_LAST};
        const calmoe_status status = calmoe_engine_step(run->engine, &chunk, 1);
        if (status == CALMOE_OK) {
            cm_sha256_add(&run->hash, calmoe_session_logits(session, 0), (size_t)run->n_vocab * sizeof(float));
            i++;
        } else if (status != CALMOE_IO || ++n_failed > N_FAILING || calmoe_session_n_positions(session) != i ||
                   strcmp(calmoe_context_message(run->context), wanted) != 0) {
            must(run, status);
        }
    }
    calmoe_session_close(&session);
    if ((n_failed > 0) == (calmoe_ranks_count(run->ranks) > 1)) return;
    printf("FAIL %s: %d steps failed\n", run->path, n_failed);
    exit(1);
}
