/* runtime/forward/rope.c - see rope.h. */
#include "runtime/forward/rope.h"

#include <math.h>

#include "base/memory.h"
#include "kernels/elementary.h"

static double clamp(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

/* The pair that makes `turns` full turns within the original context. */
static double pair_of_turns(const struct rope_spec *spec, double turns)
{
    const double two_pi = 6.283185307179586;
    return spec->n_rot * cm_ln(spec->original_context / (turns * two_pi)) / (2.0 * cm_ln(spec->base));
}

/* YaRN: slow pairs are interpolated (divided by the factor), fast ones kept, a ramp between. */
static double yarn(const struct rope_spec *spec, int i, double frequency)
{
    const double low = clamp(floor(pair_of_turns(spec, spec->beta_fast)), 0.0, spec->n_rot - 1);
    const double high = clamp(ceil(pair_of_turns(spec, spec->beta_slow)), 0.0, spec->n_rot - 1);
    const double span = high - low > 0.001 ? high - low : 0.001;
    const double keep = 1.0 - clamp((i - low) / span, 0.0, 1.0);
    return frequency / spec->factor * (1.0 - keep) + frequency * keep;
}

calmoe_status cm_rope_open(struct calmoe_context *ctx, const struct rope_spec *spec, const float *factors,
                           struct rope *out)
{
    *out = (struct rope){.n_pairs = spec->is_on ? spec->n_rot / 2 : 0, .magnitude = spec->magnitude};
    out->frequencies = cm_alloc(ctx, (size_t)out->n_pairs, sizeof *out->frequencies, "rotary frequencies");
    if (!out->frequencies) return CALMOE_NO_MEMORY;
    for (int i = 0; i < out->n_pairs; i++) {
        double frequency = cm_exp(-2.0 * i / spec->n_rot * cm_ln(spec->base));
        if (factors) frequency /= factors[i];
        if (spec->scaling == ROPE_SCALING_LINEAR) frequency /= spec->factor;
        if (spec->scaling == ROPE_SCALING_YARN) frequency = yarn(spec, i, frequency);
        out->frequencies[i] = frequency;
    }
    if (spec->scaling == ROPE_SCALING_YARN && spec->factor > 1.0f)
        out->magnitude *= 0.1 * cm_ln(spec->factor) + 1.0;
    return CALMOE_OK;
}

void cm_rope_close(struct rope *rope)
{
    cm_free(rope->frequencies);
    *rope = (struct rope){0};
}

void cm_rope_row(const struct rope *rope, int position, float *cosines, float *sines)
{
    for (int i = 0; i < rope->n_pairs; i++) {
        double sine, cosine;
        cm_sine_cosine(position * rope->frequencies[i], &sine, &cosine);
        cosines[i] = (float)(cosine * rope->magnitude);
        sines[i] = (float)(sine * rope->magnitude);
    }
}
