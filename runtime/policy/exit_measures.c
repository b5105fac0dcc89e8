/* exit_measures.c - see exit_measures.h. */
#include "runtime/policy/exit_measures.h"

#include <math.h>
#include <string.h>

#include "kernels/elementary.h"

/* ---- parts ---- */

/* Into [0, 1]; what is not a number becomes 0. */
static float confidence_of(double c) { return !(c > 0.0) ? 0.0f : c > 1.0 ? 1.0f : (float)c; }

/* a · b. Products of floats are exact in double; 16 partial sums, added as a tree: no order depends on a compiler. */
static double dot(const float *a, const float *b, int n)
{
    double sums[16] = {0.0};
    int    i = 0;
    for (; i + 16 <= n; i += 16)
        for (int lane = 0; lane < 16; lane++) sums[lane] += (double)a[i + lane] * (double)b[i + lane];
    for (int lane = 0; i < n; i++, lane++) sums[lane] += (double)a[i] * (double)b[i];
    for (int half = 8; half > 0; half /= 2)
        for (int lane = 0; lane < half; lane++) sums[lane] += sums[lane + half];
    return sums[0];
}

/* ---- the measures ---- */

enum { LANES = 16 }; /* loops over lanes become vector instructions; what they find does not depend on their number */

/* A logit of -inf is a token that cannot be; NaN and +inf are faults, and so is a row with no token at all. */
static bool are_logits(const float *logits, int n)
{
    int faults[LANES] = {0}, tokens[LANES] = {0};
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int lane = 0; lane < LANES; lane++) {
            faults[lane] |= !(logits[i + lane] < INFINITY);
            tokens[lane] |= logits[i + lane] > -INFINITY;
        }
    for (; i < n; i++) {
        faults[0] |= !(logits[i] < INFINITY);
        tokens[0] |= logits[i] > -INFINITY;
    }
    for (int lane = 1; lane < LANES; lane++) {
        faults[0] |= faults[lane];
        tokens[0] |= tokens[lane];
    }
    return tokens[0] && !faults[0];
}

static float margin(const struct vector_ops *ops, const struct exit_view *view)
{
    float first, second;
    if (!are_logits(view->logits, view->n_logits)) return 0.0f;
    ops->softmax_top_two(view->logits, view->n_logits, &first, &second);
    return confidence_of((double)first - (double)second);
}

/* The largest and the second largest of n logits; -inf where there is none. */
static void top_two(const float *logits, int n, float *first, float *second)
{
    float high[LANES], low[LANES];
    for (int lane = 0; lane < LANES; lane++) high[lane] = low[lane] = -INFINITY;
    for (int i = 0; i < n; i += LANES) {
        const int n_here = n - i < LANES ? n - i : LANES;
        for (int lane = 0; lane < n_here; lane++) {
            const float x = logits[i + lane], less = x < high[lane] ? x : high[lane];
            high[lane] = x > high[lane] ? x : high[lane];
            low[lane] = less > low[lane] ? less : low[lane];
        }
    }
    *first = *second = -INFINITY;
    for (int lane = 0; lane < LANES; lane++) {
        const float less = high[lane] < *first ? high[lane] : *first;
        *first = high[lane] > *first ? high[lane] : *first;
        *second = less > *second ? less : *second;
        *second = low[lane] > *second ? low[lane] : *second;
    }
}

static float lead(const struct vector_ops *ops, const struct exit_view *view)
{
    float first, second;
    (void)ops;
    if (!are_logits(view->logits, view->n_logits)) return 0.0f;
    top_two(view->logits, view->n_logits, &first, &second);
    return confidence_of(1.0 - cm_exp((double)second - (double)first));
}

static float saturation(const struct vector_ops *ops, const struct exit_view *view)
{
    (void)ops;
    const double lengths = dot(view->hidden, view->hidden, view->dim) * dot(view->previous, view->previous, view->dim);
    if (!(lengths > 0.0 && lengths < (double)INFINITY)) return 0.0f;
    return confidence_of(dot(view->hidden, view->previous, view->dim) / sqrt(lengths));
}

static float classify(const struct vector_ops *ops, const struct exit_view *view)
{
    (void)ops;
    const double z = dot(view->features, view->classifier, view->n_features) + (double)view->classifier_bias;
    if (isnan(z) || isinf(z)) return 0.0f;
    return confidence_of(z < 0.0 ? cm_exp(z) / (1.0 + cm_exp(z)) : 1.0 / (1.0 + cm_exp(-z)));
}

static float always(const struct vector_ops *ops, const struct exit_view *view)
{
    (void)ops;
    (void)view;
    return 1.0f;
}

const struct exit_measure_row cm_exit_measures[MEASURE_COUNT] = {
    [MEASURE_SOFTMAX] = {.name = "softmax", .reads_logits = true, .confidence = margin},
    [MEASURE_STATE] = {.name = "state", .reads_previous = true, .confidence = saturation},
    [MEASURE_CLASSIFIER] = {.name = "classifier", .reads_features = true, .confidence = classify},
    [MEASURE_LEAD] = {.name = "lead", .reads_logits = true, .confidence = lead},
    [MEASURE_SHORTLIST] = {.name = "shortlist", .reads_shortlist = true, .confidence = margin},
    [MEASURE_ALWAYS] = {.name = "always", .confidence = always},
};

/* ---- thresholds ---- */

const char *const cm_schedule_names[SCHEDULE_COUNT] = {
    [SCHEDULE_OFF] = "off",
    [SCHEDULE_CONSTANT] = "constant",
    [SCHEDULE_PAPER] = "paper",
    [SCHEDULE_CODE] = "code",
};

float cm_threshold_at(const struct exit_threshold *threshold, int t)
{
    const double lambda = (double)threshold->lambda;
    double       decay, at;
    switch (threshold->schedule) {
    case SCHEDULE_CONSTANT: return threshold->lambda;
    case SCHEDULE_PAPER:
    case SCHEDULE_CODE:
        decay = cm_exp(-(double)threshold->tau * t / threshold->length);
        at = threshold->schedule == SCHEDULE_PAPER ? 0.9 * lambda + 0.1 * decay : lambda * (0.9 + 0.1 * decay);
        return at > 1.0 ? 1.0f : (float)at;
    default: return 2.0f;
    }
}

bool cm_leaves(const struct exit_threshold *threshold, float confidence, int t)
{
    if (threshold->schedule == SCHEDULE_OFF) return false;
    return confidence > 0.0f && confidence >= cm_threshold_at(threshold, t);
}
