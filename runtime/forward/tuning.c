/* runtime/forward/tuning.c - see tuning.h. */
#include "runtime/forward/tuning.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "experts/measure_reading.h"
#include "kernels/cpu_name.h"
#include "runtime/documents/tuning_file.h"

void cm_tell_machine(const struct machine *machine, char text[MACHINE_BYTES])
{
    char vendor[CM_CPU_VENDOR_SIZE], name[64];
    cm_cpu_vendor(vendor);
    cm_cpu_name(name, sizeof name);
    snprintf(text, MACHINE_BYTES, "%s, %s, %s, %d threads", vendor, name, cm_isa_name(machine->isa),
             cm_team_n_workers(machine->team));
}

/* False where nothing is kept, or a way that this version does not know. */
static bool choose_as_before(struct calmoe_context *ctx, const char *path, const char *machine)
{
    char name[TUNING_NAME_BYTES];
    if (!path || !cm_tuning_read(ctx, path, machine, name)) return false;
    const struct read_ahead_row *row;
    for (int i = 0; (row = cm_read_ahead_row(i)) != NULL; i++) {
        if (strcmp(row->name, name) != 0) continue;
        cm_read_ahead_choose(row);
        return true;
    }
    return false;
}

static calmoe_status choose_by_measuring(const struct machine *machine, const struct pack_list *list, const char *path,
                                         const char *told)
{
    struct reading reading;
    CM_TRY(cm_measure_reading(machine->ctx, list, machine->team, &reading));
    if (!reading.quickest) return CALMOE_OK;
    if (reading.quickest != cm_read_ahead())
        cm_log(machine->ctx, "weights are read ahead by %s (measured: %.1f GB/s; by %s %.1f)", reading.quickest->name,
               1e-9 * reading.quickest_rate, cm_read_ahead()->name, 1e-9 * reading.own_rate);
    cm_read_ahead_choose(reading.quickest);
    if (path) cm_tuning_write(machine->ctx, path, told, reading.quickest->name);
    return CALMOE_OK;
}

calmoe_status cm_tune(const struct machine *machine, const struct pack_list *list)
{
    char          told[MACHINE_BYTES];
    calmoe_status status = CALMOE_OK;
    if (!machine->topology->is_this_machine) return CALMOE_OK;
    cm_tell_machine(machine, told);
    char *path = cm_tuning_path(told);
    if (!choose_as_before(machine->ctx, path, told)) status = choose_by_measuring(machine, list, path, told);
    cm_free(path);
    return status;
}
