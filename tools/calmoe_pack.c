/* tools/calmoe_pack.c - `calmoe pack`: writes a model's routed experts to a file from which they are used without
 * packing. */
#include <stdio.h>
#include <sys/stat.h>

#include <calmoe/pack.h>

#include "tools/command.h"
#include "tools/front.h"

struct settings {
    const char *output, *isa;
    int         check;
};

#define AT(member) offsetof(struct settings, member)
static const struct cli_option options[] = {
    {"output", 'o', CLI_OUTPUT, AT(output), 0, 0, "FILE", "the packed file (default: MODEL.packed)"},
    {"isa", 0, CLI_TEXT, AT(isa), 0, 0, "LEVEL", "instruction set that will read it (default: the best here)"},
    {"check", 0, CLI_FLAG, AT(check), 0, 0, NULL, "write nothing: read the file and say whether it is whole"},
};

static const struct cli_command description = {
    .name         = "calmoe pack",
    .summary      = "Writes a model's routed experts in the order in which this machine's kernels read them.",
    .operands     = "MODEL",
    .max_operands = 1,
    .options      = options,
    .n_options    = sizeof options / sizeof options[0],
    .notes        = "--packed FILE of calmoe run, serve, profile and calmoe-bench uses it: experts are mapped, which\n"
                    "takes milliseconds, and shared by all processes; with --memory-limit they are read one by one.\n"
                    "The file is about as large as the model's experts, and stands under its name only when it is\n"
                    "complete. docs/DISK.md tells more.\n\n"
                    "Example:\n  calmoe pack model.gguf\n"
                    "  calmoe run -m model.gguf --packed model.gguf.packed -p Hello\n",
};

static bool pack(const struct settings *settings, const char *model, const char *path)
{
    struct front        front = {0};
    struct progress_bar bar;
    calmoe_pack_options how;
    struct stat         file;
    calmoe_pack_options_init(&how);
    how.isa           = settings->isa;
    how.progress      = cm_bar_move;
    how.progress_user = &bar;
    bool fine = cm_front_open_model(&front, model, false);
    if (fine && settings->check) {
        fine = cm_front_succeeded(&front, calmoe_pack_check(front.model, path));
        if (fine) cm_say("'%s' is whole", path);
    } else if (fine) {
        cm_catch_interrupt();
        cm_bar_begin(&bar, "packing");
        const calmoe_status status = calmoe_pack(front.model, path, &how);
        cm_bar_end(&bar);
        fine = cm_front_succeeded(&front, status);
        if (fine) cm_say("wrote '%s': %.1f MB", path, stat(path, &file) == 0 ? (double)file.st_size / 1e6 : 0);
    }
    cm_front_close(&front);
    return fine;
}

static int run(int argc, char **argv)
{
    struct settings settings = {0};
    char            path[4096];
    int             n_operands;
    const int       parsed = cm_cli_parse(&description, argc, argv, &settings, &n_operands);
    if (parsed != CLI_GO_ON) return parsed;
    if (n_operands < 1) return cm_usage_error(description.name, "wanted a MODEL, found none");
    if (cm_cli_keep_operands(&description, &settings, argv + 1, 1) != CLI_GO_ON) return EXIT_WRONG_USAGE;
    const int n = settings.output != NULL ? snprintf(path, sizeof path, "%s", settings.output)
                                          : snprintf(path, sizeof path, "%s.packed", argv[1]);
    if (n < 0 || (size_t)n >= sizeof path) return cm_usage_error(description.name, "the file's name is too long");
    return pack(&settings, argv[1], path) ? 0 : 1;
}

const struct command cm_command_pack = {
    .name    = "pack",
    .summary = "write experts as kernels read them, to be mapped or read one by one",
    .run     = run,
};
