/* tools/calmoe_quantize.c - `calmoe quantize`: a copy of a model file in a smaller weight type. */
#include <string.h>
#include <sys/stat.h>

#include "tools/command.h"
#include "tools/front.h"

static const struct cli_command description = {
    .name         = "calmoe quantize",
    .summary      = "Writes a copy of the GGUF file IN to OUT with float weights quantized to TYPE.",
    .operands     = "IN OUT TYPE",
    .max_operands = 3,
    .notes        = "TYPE is q8_0, q4_0, q4_k, q6_k, f16 or bf16. OUT is written whole or not at all;\n"
                    "Ctrl-C stops and leaves nothing behind.\n\n"
                    "Example:\n  calmoe quantize model-f16.gguf model-q8.gguf q8_0\n",
};

static bool is_same_file(const char *a, const char *b)
{
    struct stat of_a, of_b;
    if (strcmp(a, b) == 0) return true;
    return stat(a, &of_a) == 0 && stat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
           of_a.st_ino == of_b.st_ino;
}

static double megabytes(const char *path)
{
    struct stat file;
    return stat(path, &file) == 0 ? (double)file.st_size / 1e6 : 0;
}

static int run(int argc, char **argv)
{
    int       n_operands;
    const int parsed = cm_cli_parse(&description, argc, argv, NULL, &n_operands);
    if (parsed != CLI_GO_ON) return parsed;
    if (n_operands < 3)
        return cm_usage_error(description.name, "wanted %s, found %d argument%s", description.operands,
                              n_operands, n_operands == 1 ? "" : "s");
    const char *const in = argv[1], *const out = argv[2], *const type = argv[3];
    if (is_same_file(in, out))
        return cm_usage_error(description.name, "OUT is the same file as IN, '%s'; wanted another", in);

    struct front        front = {0};
    struct progress_bar bar;
    if (!cm_front_open(&front)) return 1;
    cm_catch_interrupt();
    cm_bar_begin(&bar, "quantizing");
    const calmoe_status status = calmoe_quantize(front.context, in, out, type, cm_bar_move, &bar);
    cm_bar_end(&bar);
    const bool succeeded = cm_front_succeeded(&front, status);
    if (succeeded)
        cm_say("wrote '%s': %s, %.1f MB from %.1f MB", out, type, megabytes(out), megabytes(in));
    cm_front_close(&front);
    return succeeded ? 0 : 1;
}

const struct command cm_command_quantize = {
    .name    = "quantize",
    .summary = "write a model file in a smaller weight type",
    .run     = run,
};
