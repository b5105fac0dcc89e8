/* runtime/mixers/mixer_list.c - all ways in which a layer mixes positions: one row each, in the order of mixer_kind. */
#include "runtime/mixers/mixer.h"

extern const struct mixer cm_mixer_attention, cm_mixer_delta_net, cm_mixer_mla, cm_mixer_mamba2, cm_mixer_shortconv,
    cm_mixer_none;

const struct mixer *const cm_mixers[MIXER_KIND_COUNT] = {
    [MIXER_ATTENTION] = &cm_mixer_attention,
    [MIXER_DELTA_NET] = &cm_mixer_delta_net,
    [MIXER_MLA] = &cm_mixer_mla,
    [MIXER_MAMBA2] = &cm_mixer_mamba2,
    [MIXER_SHORTCONV] = &cm_mixer_shortconv,
    [MIXER_NONE] = &cm_mixer_none,
};
