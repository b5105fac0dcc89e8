/* rung_words.c - see rung_words.h. Exits, fill, tail, whether there are widths; each exit; each layer's width. */
#include "runtime/engine/rung_words.h"

#include <string.h>

enum { HEAD_WORDS = 5, EXIT_WORDS = 6, WIDTH_WORDS = 4 };

static int32_t word_of(float x)
{
    int32_t word;
    memcpy(&word, &x, sizeof word);
    return word;
}

static float float_of(int32_t word)
{
    float x;
    memcpy(&x, &word, sizeof x);
    return x;
}

size_t cm_rung_words_most(int n_layers)
{
    return HEAD_WORDS + POLICY_MAX_EXITS * EXIT_WORDS + (size_t)n_layers * WIDTH_WORDS;
}

size_t cm_rung_words_write(const struct policy_rung *rung, int n_layers, int32_t *words)
{
    int32_t *at = words;
    const int32_t head[HEAD_WORDS] = {rung->n_exits, (int32_t)rung->kv_fill, rung->max_pending, rung->k_tail,
                                      rung->widths != NULL};
    memcpy(at, head, sizeof head);
    at += HEAD_WORDS;
    for (int i = 0; i < rung->n_exits; i++, at += EXIT_WORDS) {
        const struct policy_exit *exit = &rung->exits[i];
        const int32_t of_exit[EXIT_WORDS] = {exit->layer, (int32_t)exit->measure, (int32_t)exit->threshold.schedule,
                                             word_of(exit->threshold.lambda), word_of(exit->threshold.tau),
                                             exit->threshold.length};
        memcpy(at, of_exit, sizeof of_exit);
    }
    for (int layer = 0; rung->widths && layer < n_layers; layer++, at += WIDTH_WORDS) {
        const struct width_rule *rule = &rung->widths[layer];
        const int32_t of_layer[WIDTH_WORDS] = {(int32_t)rule->kind, word_of(rule->bound), rule->k, rule->renormalise};
        memcpy(at, of_layer, sizeof of_layer);
    }
    return (size_t)(at - words);
}

void cm_rung_words_read(const int32_t *words, int n_layers, struct width_rule *widths, struct policy_rung *out)
{
    const int32_t *at = words + HEAD_WORDS;
    *out = (struct policy_rung){.n_exits = words[0], .kv_fill = (enum kv_fill)words[1], .max_pending = words[2],
                                .k_tail = words[3], .widths = words[4] ? widths : NULL};
    for (int i = 0; i < out->n_exits; i++, at += EXIT_WORDS)
        out->exits[i] = (struct policy_exit){
            at[0], (enum exit_measure)at[1],
            {(enum threshold_schedule)at[2], float_of(at[3]), float_of(at[4]), at[5]}};
    for (int layer = 0; out->widths && layer < n_layers; layer++, at += WIDTH_WORDS)
        widths[layer] = (struct width_rule){(enum width_kind)at[0], float_of(at[1]), at[2], at[3] != 0};
}
