/* runtime/mixers/rope.c - see rope.h. */
#include "runtime/mixers/rope.h"

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

/* YaRN: slow pairs are interpolated (divided by the factor), fast ones kept, a ramp between, which begins and ends at
 * whole pairs or anywhere between two. */
static double yarn(const struct rope_spec *spec, int i, double frequency)
{
    const double fast = pair_of_turns(spec, spec->beta_fast), slow = pair_of_turns(spec, spec->beta_slow);
    const double low = clamp(spec->has_whole_bounds ? floor(fast) : fast, 0.0, spec->n_rot - 1);
    const double high = clamp(spec->has_whole_bounds ? ceil(slow) : slow, 0.0, spec->n_rot - 1);
    const double span = high - low > 0.001 ? high - low : 0.001;
    const double keep = 1.0 - clamp((i - low) / span, 0.0, 1.0);
    return frequency / spec->factor * (1.0 - keep) + frequency * keep;
}

static calmoe_status open_kind(struct calmoe_context *ctx, const struct rope_spec *spec, const float *factors,
                               struct rope_kind *out)
{
    out->pairing = spec->pairing;
    out->n_pairs = spec->is_on ? spec->n_rot / 2 : 0;
    out->magnitude = spec->magnitude;
    out->frequencies = cm_alloc(ctx, (size_t)out->n_pairs, sizeof *out->frequencies, "rotary frequencies");
    if (!out->frequencies) return CALMOE_NO_MEMORY;
    for (int i = 0; i < out->n_pairs; i++) {
        double frequency = cm_exp(-2.0 * i / spec->n_rot * cm_ln(spec->base));
        if (factors && spec->has_factors) {
            if (!(factors[i] > 0.0f && factors[i] < INFINITY))
                return cm_fail(ctx, CALMOE_BAD_FILE, "element %d of '%s' is %g; wanted a number above 0", i,
                               spec->factors, (double)factors[i]);
            frequency /= factors[i];
        }
        if (spec->scaling == ROPE_SCALING_LINEAR) frequency /= spec->factor;
        if (spec->scaling == ROPE_SCALING_YARN) frequency = yarn(spec, i, frequency);
        out->frequencies[i] = frequency;
    }
    if (spec->scaling == ROPE_SCALING_YARN && spec->factor > 1.0f && !spec->keeps_length)
        out->magnitude *= 0.1 * cm_ln(spec->factor) + 1.0;
    return CALMOE_OK;
}

calmoe_status cm_rope_open(struct calmoe_context *ctx, const struct rope_spec *specs, int n, const float *factors,
                           struct rope *out)
{
    *out = (struct rope){.n_kinds = n};
    for (int i = 0; i < n; i++) {
        out->kinds[i].first_pair = out->n_pairs;
        const calmoe_status status = open_kind(ctx, &specs[i], factors, &out->kinds[i]);
        if (status != CALMOE_OK) {
            cm_rope_close(out);
            return status;
        }
        out->n_pairs += out->kinds[i].n_pairs;
    }
    return CALMOE_OK;
}

void cm_rope_close(struct rope *rope)
{
    for (int i = 0; i < rope->n_kinds; i++) cm_free(rope->kinds[i].frequencies);
    *rope = (struct rope){0};
}

void cm_rope_row(const struct rope *rope, int position, float *cosines, float *sines)
{
    for (int k = 0; k < rope->n_kinds; k++) {
        const struct rope_kind *kind = &rope->kinds[k];
        for (int i = 0; i < kind->n_pairs; i++) {
            double sine, cosine;
            cm_sine_cosine(position * kind->frequencies[i], &sine, &cosine);
            cosines[kind->first_pair + i] = (float)(cosine * kind->magnitude);
            sines[kind->first_pair + i] = (float)(sine * kind->magnitude);
        }
    }
}
