/* runtime/families/rope_spec.c - see rope_spec.h. */
#include "runtime/families/rope_spec.h"

void cm_rope_override(struct rope_spec *spec, const struct rope_override *override)
{
    if (override->base > 0.0f) spec->base = override->base;
    if (override->has_scaling) spec->scaling = override->scaling;
    if (override->factor > 0.0f) spec->factor = override->factor;
    if (override->original_context > 0) spec->original_context = override->original_context;
    if (override->beta_fast > 0.0f) spec->beta_fast = override->beta_fast;
    if (override->beta_slow > 0.0f) spec->beta_slow = override->beta_slow;
    if (override->magnitude > 0.0f) spec->magnitude = override->magnitude;
}
