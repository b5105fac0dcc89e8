/* tools/exit_colors.h - colours that show how many layers each token used: from green (up to half of them) to red
 * (all). */
#ifndef TOOLS_EXIT_COLORS_H
#define TOOLS_EXIT_COLORS_H

#include <calmoe/calmoe.h>
#include <stdbool.h>

enum { EXIT_MAX_LAYERS = 1024 };

struct exit_colors {
    bool     is_on;    /* tokens are counted by their layers                    */
    bool     is_drawn; /* text is coloured as well                              */
    int      n_layers;
    uint64_t counts[EXIT_MAX_LAYERS + 1]; /* tokens that used so many layers; the last element also counts those that
                                             used more                                                   */
};

/* The escape sequences to write before and after a token that used so many layers; "" if nothing is coloured. */
const char *cm_exit_color(const struct exit_colors *colors, int layers);
const char *cm_exit_color_end(const struct exit_colors *colors);
void        cm_exit_colors_count(struct exit_colors *colors, int layers);
/* Prints on stderr the legend of the colours (if they are used) and a line with the share of each depth. */
void        cm_exit_colors_say(const struct exit_colors *colors);

#endif
