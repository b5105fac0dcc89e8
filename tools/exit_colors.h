/* tools/exit_colors.h - shows how deep each token went: green under half of the layers … red all. */
#ifndef TOOLS_EXIT_COLORS_H
#define TOOLS_EXIT_COLORS_H

#include <calmoe/calmoe.h>
#include <stdbool.h>

enum { EXIT_MAX_LAYERS = 1024 };

struct exit_colors {
    bool     is_on;    /* tokens are counted                                    */
    bool     is_drawn; /* and coloured                                          */
    int      n_layers;
    uint64_t counts[EXIT_MAX_LAYERS + 1]; /* tokens that came of so many layers; deeper ones in the last */
};

/* Escape sequence before a token of so many layers, and after it; "" where nothing is drawn. */
const char *cm_exit_color(const struct exit_colors *colors, int layers);
const char *cm_exit_color_end(const struct exit_colors *colors);
void        cm_exit_colors_count(struct exit_colors *colors, int layers);
/* On stderr: the legend (where colours are drawn) and a line of shares. */
void        cm_exit_colors_say(const struct exit_colors *colors);

#endif
