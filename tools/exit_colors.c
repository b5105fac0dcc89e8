/* tools/exit_colors.c - see exit_colors.h. */
#include "tools/exit_colors.h"

#include <stdio.h>
#include <string.h>

#include "tools/terminal.h"

/* Chosen from the 256 colours of terminals: readable on black and on white. */
static const struct { const char *sequence, *name; } steps[] = {
    {"\033[38;5;34m", "up to half"}, {"\033[38;5;106m", "5/8"}, {"\033[38;5;178m", "6/8"},
    {"\033[38;5;208m", "7/8"},       {"\033[38;5;160m", "more"},
};
enum { N_STEPS = sizeof steps / sizeof steps[0] };
static const char end_of_color[] = "\033[0m";

/* 0 up to half of the layers; each further eighth of the layers adds one. */
static int step_of(const struct exit_colors *colors, int layers)
{
    const int eighths = (8 * layers + colors->n_layers - 1) / colors->n_layers;
    return eighths <= 4 ? 0 : eighths >= 8 ? N_STEPS - 1 : eighths - 4;
}

const char *cm_exit_color(const struct exit_colors *colors, int layers)
{
    return colors->is_drawn ? steps[step_of(colors, layers)].sequence : "";
}

const char *cm_exit_color_end(const struct exit_colors *colors) { return colors->is_drawn ? end_of_color : ""; }

void cm_exit_colors_count(struct exit_colors *colors, int layers)
{
    if (colors->is_on) colors->counts[layers < EXIT_MAX_LAYERS ? layers : EXIT_MAX_LAYERS]++;
}

/* Adds to a line; what does not fit is left out. */
static void add(char *line, size_t n_line, const char *text)
{
    const size_t n = strlen(line);
    snprintf(line + n, n_line - n, "%s", text);
}

void cm_exit_colors_say(const struct exit_colors *colors)
{
    char   line[1024] = "", piece[96];
    double n = 0, sum = 0;
    if (!colors->is_on) return;
    for (int i = 0; colors->is_drawn && i < N_STEPS; i++) {
        snprintf(piece, sizeof piece, " %s%s%s", steps[i].sequence, steps[i].name, end_of_color);
        add(line, sizeof line, piece);
    }
    if (colors->is_drawn) fprintf(stderr, "calmoe: of %d layers:%s\n", colors->n_layers, line);
    line[0] = '\0';
    for (int i = 0; i <= EXIT_MAX_LAYERS; i++) {
        n += (double)colors->counts[i];
        sum += (double)colors->counts[i] * i;
    }
    for (int i = 0; i <= EXIT_MAX_LAYERS; i++) {
        if (colors->counts[i] == 0) continue;
        snprintf(piece, sizeof piece, "  %d: %.1f%%", i, 100.0 * (double)colors->counts[i] / n);
        add(line, sizeof line, piece);
    }
    if (n > 0) cm_say("layers of tokens %s; mean %.2f of %d", line, sum / n, colors->n_layers);
}
