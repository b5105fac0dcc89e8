/* fuzz_json.c - any bytes as a placement plan: refused with a sentence, or read. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/load/plan_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_plan(const struct plan_file *file)
{
    const struct plan *plan = &file->plan;
    struct plan        shape = *plan;
    if (strlen(file->fingerprint) != 16) abort();
    if (plan->n_nodes < 1 || plan->n_nodes > PLAN_MAX_NODES) abort();
    if (plan->n_layers < 1 || plan->n_layers > PLAN_MAX_LAYERS) abort();
    if (plan->n_experts < 1 || plan->n_experts > PLAN_MAX_EXPERTS) abort();
    if (cm_plan_check(NULL, plan, &shape) != CALMOE_OK) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const long            n_live = cm_live_blocks();
    struct calmoe_context ctx = {0};
    struct plan_file      plan;
    const calmoe_status   status = cm_plan_file_parse(&ctx, "fuzz.json", data, size, &plan);
    if ((status == CALMOE_OK) != (ctx.message[0] == '\0')) abort();
    if (status == CALMOE_OK) check_plan(&plan);
    cm_plan_file_close(&plan);
    if (cm_live_blocks() != n_live) abort();
    return 0;
}
