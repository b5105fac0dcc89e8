/* tools/profile_report.h - a profile told to people and to programs. */
#ifndef TOOLS_PROFILE_REPORT_H
#define TOOLS_PROFILE_REPORT_H

#include "tools/profile_read.h"

enum { N_FORECASTS = 6, N_SPECIALISTS = 4, N_LIKED = 6 };

struct forecast { /* what a plan made from the profile is predicted to do, batch 1 */
    int                   n_nodes;
    const char           *policy;
    calmoe_placement_info info;
    calmoe_prediction     prediction;
};

struct node_load { /* of this machine, with the plan in use */
    calmoe_placement_node node;
    double                share; /* of the experts' work, predicted */
};

struct view {
    const struct front   *front;   /* its model may be NULL */
    const calmoe_profile *profile;
    const struct reading *reading; /* without domains where nothing was read */
    calmoe_profile_info   info;
    calmoe_model_info     model;   /* where there is one */
    int                   n_forecasts;
    struct forecast       forecasts[N_FORECASTS];
    int                   n_nodes;
    struct node_load      nodes[CALMOE_MAX_NODES];
};

/* Predictions and node loads need a model. plan: in use; NULL = all on one node. False with a sentence. */
bool cm_view_gather(struct view *view, const char *plan);
void cm_view_print(const struct view *view);
bool cm_view_print_json(const struct view *view);

#endif
