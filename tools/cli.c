/* tools/cli.c - see cli.h. */
#include "tools/cli.h"

#include <calmoe/version.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/output_file.h"

int cm_usage_error(const char *command, const char *format, ...)
{
    char    sentence[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    /* What was typed may contain anything; control characters are not passed to the terminal. */
    for (char *at = sentence; *at != '\0'; at++)
        if (iscntrl((unsigned char)*at)) *at = '?';
    fprintf(stderr, "%s: %s; see '%s --help'\n", command, sentence, command);
    return EXIT_WRONG_USAGE;
}

static void print_help(const struct cli_command *command)
{
    printf("Usage: %s [options]%s%s\n\n%s\n\nOptions:\n", command->name,
           command->operands != NULL ? " " : "", command->operands != NULL ? command->operands : "",
           command->summary);
    for (size_t i = 0; i < command->n_options; i++) {
        const struct cli_option *option = &command->options[i];
        char                     left[64];
        const char               dash[] = {'-', option->short_name, ',', ' ', '\0'};
        snprintf(left, sizeof left, "%s--%s%s%s", option->short_name != 0 ? dash : "    ",
                 option->name, option->value != NULL ? " " : "",
                 option->value != NULL ? option->value : "");
        printf("  %-26s %s\n", left, option->help);
    }
    printf("  %-26s %s\n", "-h, --help", "this text");
    printf("  %-26s %s\n", "    --version", "the version");
    printf("\n%s", command->notes);
}

/* The row of the option that the argument names, or NULL. *value: what follows "=" in it, or NULL. */
static const struct cli_option *find_option(const struct cli_command *command, const char *argument,
                                            const char **value)
{
    *value = NULL;
    if (argument[0] != '-') return NULL;
    const bool   is_long  = argument[1] == '-';
    const char  *name     = argument + (is_long ? 2 : 1);
    const size_t n_name   = is_long ? strcspn(name, "=") : strlen(name);
    for (size_t i = 0; i < command->n_options; i++) {
        const struct cli_option *option = &command->options[i];
        if (is_long ? strlen(option->name) == n_name && memcmp(option->name, name, n_name) == 0
                    : n_name == 1 && option->short_name == name[0]) {
            if (name[n_name] == '=') *value = name + n_name + 1;
            return option;
        }
    }
    return NULL;
}

static bool read_whole_number(const char *text, double min, double max, int *out)
{
    char *end = NULL;
    errno     = 0;
    const long long number = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || isspace((unsigned char)text[0])) return false;
    if ((double)number < min || (double)number > max) return false;
    *out = (int)number;
    return true;
}

static bool read_seed(const char *text, uint64_t *out)
{
    char *end = NULL;
    errno     = 0;
    const unsigned long long number = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || errno != 0 || *end != '\0') return false;
    *out = number;
    return true;
}

static bool read_real(const char *text, double min, double max, float *out)
{
    char        *end    = NULL;
    const double number = strtod(text, &end);
    if (end == text || *end != '\0' || isspace((unsigned char)text[0])) return false;
    if (!isfinite(number) || number < min || number > max) return false;
    *out = (float)number;
    return true;
}

/* Reads a positive number with a unit, or a whole number of bytes. */
static bool read_bytes(const char *text, uint64_t *out)
{
    static const struct {
        const char *name;
        double      bytes;
    } units[] = {{"", 1},        {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824}, {"TiB", 1099511627776},
                 {"KB", 1e3},    {"MB", 1e6},   {"GB", 1e9},      {"TB", 1e12}};
    char        *end    = NULL;
    const double number = strtod(text, &end);
    if (end == text || !isdigit((unsigned char)text[0]) || !isfinite(number)) return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        const double bytes = number * units[i].bytes;
        if (strcmp(end, units[i].name) != 0 || bytes < 1 || bytes >= 9e18) continue;
        *out = (uint64_t)bytes;
        return true;
    }
    return false;
}

static bool read_choice(const char *text, const char *words, int *out)
{
    for (int index = 0;; index++) {
        const size_t n_word = strcspn(words, "|");
        if (strlen(text) == n_word && memcmp(text, words, n_word) == 0) {
            *out = index;
            return true;
        }
        if (words[n_word] == '\0') return false;
        words += n_word + 1;
    }
}

/* Writes the value to the setting. typed: the option as it was typed. */
static int set_option(const struct cli_command *command, const struct cli_option *option,
                      const char *typed, const char *text, void *settings)
{
    void *const            setting = (char *)settings + option->offset;
    struct cli_list *const list    = setting;
    const int   n_typed  = (int)strcspn(typed, "=");
    switch (option->kind) {
    case CLI_FLAG: *(int *)setting = 1; return CLI_GO_ON;
    case CLI_TEXT:
    case CLI_INPUT:
    case CLI_OUTPUT: *(const char **)setting = text; return CLI_GO_ON;
    case CLI_LIST:
    case CLI_INPUTS:
        if (list->n == CLI_LIST_MAX)
            return cm_usage_error(command->name, "option '%.*s' may stand %d times at most", n_typed, typed,
                                  CLI_LIST_MAX);
        list->values[list->n++] = text;
        return CLI_GO_ON;
    case CLI_INT:
        if (read_whole_number(text, option->min, option->max, setting)) return CLI_GO_ON;
        return cm_usage_error(command->name,
                              "option '%.*s' wants a whole number from %.0f to %.0f, found '%s'",
                              n_typed, typed, option->min, option->max, text);
    case CLI_SEED:
        if (read_seed(text, setting)) return CLI_GO_ON;
        return cm_usage_error(command->name,
                              "option '%.*s' wants a whole number from 0 to %llu, found '%s'", n_typed,
                              typed, (unsigned long long)UINT64_MAX, text);
    case CLI_REAL:
        if (read_real(text, option->min, option->max, setting)) return CLI_GO_ON;
        return cm_usage_error(command->name, "option '%.*s' wants a number from %g to %g, found '%s'",
                              n_typed, typed, option->min, option->max, text);
    case CLI_BYTES:
        if (read_bytes(text, setting)) return CLI_GO_ON;
        return cm_usage_error(command->name, "option '%.*s' wants bytes such as 12GiB, 800MB or 4096, found '%s'",
                              n_typed, typed, text);
    case CLI_CHOICE:
        if (read_choice(text, option->value, setting)) return CLI_GO_ON;
        return cm_usage_error(command->name, "option '%.*s' wants %s, found '%s'", n_typed, typed,
                              option->value, text);
    }
    return CLI_GO_ON;
}

/* Reads the option at argv[*at], and its value, and moves *at to the last argument used. */
static int read_option(const struct cli_command *command, int argc, char **argv, int *at,
                       void *settings)
{
    const char              *typed = argv[*at];
    const char              *value, *ignored;
    const struct cli_option *option = find_option(command, typed, &value);
    if (option == NULL) return cm_usage_error(command->name, "unknown option '%s'", typed);
    if (option->kind == CLI_FLAG) {
        if (value != NULL)
            return cm_usage_error(command->name, "option '--%s' takes no value, found '%s'",
                                  option->name, value);
    } else if (value == NULL) {
        if (*at + 1 >= argc)
            return cm_usage_error(command->name, "option '%s' wants a value, %s, found nothing", typed,
                                  option->value);
        value = argv[++*at];
        if (find_option(command, value, &ignored) != NULL) /* such a value must be given as --prompt=-n */
            return cm_usage_error(command->name, "option '%s' wants a value, %s, found the option '%s'",
                                  typed, option->value, value);
    }
    return set_option(command, option, typed, value, settings);
}

/* ---- is a file both read and written? ---- */

static const char *text_of(const struct cli_option *option, const void *settings)
{
    return *(const char *const *)(const void *)((const char *)settings + option->offset);
}

/* "NAME=FILE" and "FILE:SCALE" mean FILE as well. */
static bool is_that_file(const char *output, const char *input)
{
    const char *const equals = strchr(input, '='), *const colon = strrchr(input, ':');
    char              name[4096];
    if (cm_is_same_file(output, input) || (equals != NULL && cm_is_same_file(output, equals + 1))) return true;
    if (colon == NULL || (size_t)(colon - input) >= sizeof name) return false;
    snprintf(name, sizeof name, "%.*s", (int)(colon - input), input);
    return cm_is_same_file(output, name);
}

/* what: what reads the input, such as "option '--model'". */
static int keep(const struct cli_command *command, const void *settings, const char *what, const char *input)
{
    for (size_t i = 0; i < command->n_options && input != NULL; i++) {
        const struct cli_option *const option = &command->options[i];
        const char *const output = option->kind == CLI_OUTPUT ? text_of(option, settings) : NULL;
        if (output != NULL && is_that_file(output, input))
            return cm_usage_error(command->name,
                                  "option '--%s' would write over '%s', which %s reads; wanted another file",
                                  option->name, output, what);
    }
    return CLI_GO_ON;
}

int cm_cli_keep_operands(const struct cli_command *command, const void *settings, char **operands, int n_operands)
{
    int status = CLI_GO_ON;
    for (int i = 0; i < n_operands && status == CLI_GO_ON; i++)
        status = keep(command, settings, "the command", operands[i]);
    return status;
}

/* Refuses two outputs to the same file. */
static int check_outputs(const struct cli_command *command, const void *settings, const struct cli_option *option)
{
    const char *const output = text_of(option, settings);
    for (const struct cli_option *other = command->options; other < option; other++)
        if (other->kind == CLI_OUTPUT && output != NULL && text_of(other, settings) != NULL &&
            cm_is_same_file(output, text_of(other, settings)))
            return cm_usage_error(command->name, "options '--%s' and '--%s' would both write '%s'; wanted two files",
                                  other->name, option->name, output);
    return CLI_GO_ON;
}

static int check_files(const struct cli_command *command, const void *settings)
{
    int status = CLI_GO_ON;
    for (size_t i = 0; i < command->n_options && status == CLI_GO_ON; i++) {
        const struct cli_option *const option = &command->options[i];
        const struct cli_list *const   list = (const void *)((const char *)settings + option->offset);
        char                           what[64];
        snprintf(what, sizeof what, "option '--%s'", option->name);
        if (option->kind == CLI_OUTPUT) status = check_outputs(command, settings, option);
        if (option->kind == CLI_INPUT) status = keep(command, settings, what, text_of(option, settings));
        for (int j = 0; option->kind == CLI_INPUTS && j < list->n && status == CLI_GO_ON; j++)
            status = keep(command, settings, what, list->values[j]);
    }
    return status;
}

int cm_cli_parse(const struct cli_command *command, int argc, char **argv, void *settings,
                 int *n_operands)
{
    bool are_options = true;
    *n_operands      = 0;
    for (int i = 1; i < argc; i++) {
        char *const argument = argv[i];
        if (are_options && strcmp(argument, "--") == 0) {
            are_options = false;
        } else if (are_options && argument[0] == '-' && argument[1] != '\0') {
            if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
                print_help(command);
                return 0;
            }
            if (strcmp(argument, "--version") == 0) {
                printf("calmoe %s\n", calmoe_version());
                return 0;
            }
            const int status = read_option(command, argc, argv, &i, settings);
            if (status != CLI_GO_ON) return status;
        } else if (*n_operands == command->max_operands) {
            return cm_usage_error(command->name, "unexpected argument '%s'; wanted %s", argument,
                                  command->max_operands == 0 ? "options only" : command->operands);
        } else {
            argv[++*n_operands] = argument;
        }
    }
    return check_files(command, settings);
}
