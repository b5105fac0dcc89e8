/* tools/profile_view.h - all that a profile tells, gathered for tables, JSON and the page. */
#ifndef TOOLS_PROFILE_VIEW_H
#define TOOLS_PROFILE_VIEW_H

#include <calmoe/placement.h>
#include <calmoe/profile.h>

#include "tools/profile_read.h"

enum { MAX_FORECASTS = 16, N_SPECIALISTS = 4, N_LIKED = 6, N_TOGETHER = 4, NODES_MAX = CALMOE_MAX_NODES };

struct machine_request {
    const char *topology;  /* to try plans on; NULL: this machine if it has several nodes, else 2 and 4 equal ones */
    const char *bandwidth; /* of its nodes; NULL as in placement.h                                                */
    const char *plan;      /* in use while texts were read; NULL = all on one node                                */
};

struct forecast { /* what a plan made from the profile is predicted to do, batch 1 */
    const char           *machine; /* "2 equal nodes", "this machine", as typed */
    const char           *policy;  /* "in use": the plan that texts were read with */
    double                speed;   /* of a step, one_node = 1 */
    calmoe_placement_info info;
    calmoe_prediction     prediction;
};

struct node_load { /* of this machine, with the plan in use */
    calmoe_placement_node node;
    double                share; /* of the experts' work, predicted */
};

struct together { /* two experts of a layer that tokens took both, more often than chance would */
    int    layer, a, b;
    double share; /* of the domain's tokens */
    double lift;  /* share / what two independent experts of such use would have */
    double bits;  /* share * log2(lift); ranks */
};

struct view {
    const struct front   *front;   /* its model may be NULL */
    const calmoe_profile *profile;
    const struct reading *reading; /* without domains where nothing was read */
    calmoe_profile_info   info;
    calmoe_model_info     model;   /* where there is one */
    int                   n_forecasts;
    struct forecast       forecasts[MAX_FORECASTS];
    int                   n_nodes; /* of this machine, with the plan in use; 0: no model */
    struct node_load      nodes[NODES_MAX];
};

/* Predictions and node loads need a model. False with a sentence. */
bool cm_view_gather(struct view *view, const struct machine_request *machine);

calmoe_profile_domain cm_view_domain(const struct view *view, int i);
calmoe_expert_load    cm_view_load(const struct view *view, int domain, int layer); /* domain -1 = all */
double                cm_view_similarity(const struct view *view, int i, int j);
/* Layers that tokens ran without taking an expert: dense ones. */
int                   cm_view_dense_layers(const struct view *view);
/* Where a domain's steps spent their time, seconds by phase and waiting. */
struct view_times {
    double phases[CALMOE_N_PHASES], waited;
};
struct view_times cm_view_times(const struct view *view, int domain);
double            cm_view_seconds(const struct view_times *times); /* all of them */

struct view_node { /* what steps cost on a memory node */
    struct view_times times;
    uint64_t          n_bytes[CALMOE_N_PHASES]; /* of weights, read from its memory             */
    uint64_t          n_remote_bytes;           /* of weights, read by its threads from others' */
};
/* Node i of the domain, or of all domains together (-1); false past the last. */
bool   cm_view_node(const struct view *view, int domain, int i, struct view_node *out);
/* The part of the domain's uses that lie in bins 0 … bin of reuse, over all layers. */
double cm_view_reused_within(const struct view *view, const calmoe_profile_domain *domain, int bin);
/* Means over the domain's tokens: layers that they used, experts in all of these. 0 without tokens. */
double cm_view_layers_per_token(const struct view *view, const calmoe_profile_domain *domain);
double cm_view_experts_per_token(const struct view *view, const calmoe_profile_domain *domain);
double cm_view_bytes_per_token(uint64_t n_bytes, const calmoe_profile_domain *domain);
/* The domain's N_TOGETHER pairs with the most bits, best first; how many. */
int    cm_view_together(const struct view *view, int domain, struct together best[N_TOGETHER]);
/* Remote bytes of a prediction by its tokens: node_bytes (nodes). */
double cm_forecast_per_token(const struct forecast *it, const uint64_t *node_bytes);

/* For people, and for programs. */
void cm_view_print(const struct view *view);
bool cm_view_print_json(const struct view *view);
/* What is told of a domain, into its object; and the plans, into the root's "predicted". */
void cm_view_add_domain(struct json_output *json, struct json_node *object, const struct view *view, int i);
void cm_view_add_forecasts(struct json_output *json, const struct view *view);

#endif
