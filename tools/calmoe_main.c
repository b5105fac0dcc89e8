/* tools/calmoe_main.c - the command `calmoe`: finds the subcommand and calls it. */
#include <calmoe/version.h>
#include <stdio.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/command.h"
#include "tools/terminal.h"

static const struct command *const commands[] = {
    &cm_command_run,
    &cm_command_serve,
    &cm_command_context,
    &cm_command_tokenize,
    &cm_command_template,
    &cm_command_inspect,
    &cm_command_place,
    &cm_command_profile,
    &cm_command_calibrate,
    &cm_command_quantize,
    &cm_command_pack,
    &cm_command_fit_exits,
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(void)
{
    printf("Usage: calmoe SUBCOMMAND [options]\n\n"
           "Runs mixture-of-experts language models on CPUs.\n\nSubcommands:\n");
    for (int i = 0; i < N_COMMANDS; i++) printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    printf("\n'calmoe SUBCOMMAND --help' lists a subcommand's options. 'calmoe --version' says the version.\n"
           "Results go to stdout, messages and progress to stderr. Exit status: 0 done, 1 failed,\n"
           "2 wrong usage. The environment variable CALMOE_MODELS names the folder of the embedded model.\n"
           "\nExample:\n  calmoe run -p \"Once upon a time\" -n 64\n");
}

static int run(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    if (name == NULL) return cm_usage_error("calmoe", "a subcommand is wanted, found nothing");
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_help();
        return 0;
    }
    if (strcmp(name, "--version") == 0) {
        printf("calmoe %s\n", calmoe_version());
        return 0;
    }
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(name, commands[i]->name) == 0) return commands[i]->run(argc - 1, argv + 1);
    return cm_usage_error("calmoe", "unknown %s '%s'", name[0] == '-' ? "option" : "subcommand", name);
}

int main(int argc, char **argv)
{
    cm_begin_streams();
    return cm_end_streams(run(argc, argv));
}
