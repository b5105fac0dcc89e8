/* tools/profile_view.h - gathers everything that is reported about a profile, for the tables, the JSON and the page. */
#ifndef TOOLS_PROFILE_VIEW_H
#define TOOLS_PROFILE_VIEW_H

#include <calmoe/placement.h>
#include <calmoe/profile.h>

#include "tools/profile_read.h"

enum { MAX_FORECASTS = 16, N_SPECIALISTS = 4, N_LIKED = 6, N_TOGETHER = 4, NODES_MAX = CALMOE_MAX_NODES };

struct machine_request {
    const char *topology;  /* a machine to try plans on; NULL: this machine if it has several nodes, else machines
                              with 2 and 4 equal nodes                                                             */
    const char *bandwidth; /* bandwidth of its nodes; NULL as in placement.h                                      */
    const char *plan;      /* the plan in use while texts were read; NULL = everything on one node                */
};

struct forecast { /* what a plan that is made from the profile is predicted to do at batch 1 */
    const char           *machine; /* "2 equal nodes", "this machine", or the topology as typed */
    const char           *policy;  /* the placement policy; "in use" for the plan that texts were read with */
    double                speed;   /* speed of a step relative to the plan one_node, which is 1 */
    calmoe_placement_info info;
    calmoe_prediction     prediction;
};

struct node_load { /* load of a node of this machine, with the plan in use */
    calmoe_placement_node node;
    double                share; /* predicted share of the experts' work */
};

struct together { /* two experts of a layer that tokens take together more often than by chance */
    int    layer, a, b;
    double share; /* share of the domain's tokens that take both */
    double lift;  /* that share / the share expected if the two were independent */
    double bits;  /* share * log2(lift); pairs are ranked by it */
};

struct view {
    const struct front   *front;   /* its model may be NULL */
    const calmoe_profile *profile;
    const struct reading *reading; /* has no domains if no text was read     */
    calmoe_profile_info   info;
    calmoe_model_info     model;   /* only if there is a model */
    int                   n_forecasts;
    struct forecast       forecasts[MAX_FORECASTS];
    int                   n_nodes; /* nodes of this machine, with the plan in use; 0: there is no model */
    struct node_load      nodes[NODES_MAX];
};

/* Gathers everything; predictions and node loads need a model. False with a sentence. */
bool cm_view_gather(struct view *view, const struct machine_request *machine);

calmoe_profile_domain cm_view_domain(const struct view *view, int i);
calmoe_expert_load    cm_view_load(const struct view *view, int domain, int layer); /* domain -1 = all together */
double                cm_view_similarity(const struct view *view, int i, int j);
/* The number of layers that tokens ran without taking an expert, that is, dense layers. */
int                   cm_view_dense_layers(const struct view *view);
/* Seconds that a domain's steps spent in each phase, and waiting. */
struct view_times {
    double phases[CALMOE_N_PHASES], waited;
};
struct view_times cm_view_times(const struct view *view, int domain);
double            cm_view_seconds(const struct view_times *times); /* their sum */

struct view_node { /* times and bytes of steps on a memory node */
    struct view_times times;
    uint64_t          n_bytes[CALMOE_N_PHASES]; /* weights that were read from its memory       */
    uint64_t          n_remote_bytes;           /* weights that its threads read from other nodes */
};
/* The i-th node for a domain, or for all domains together (-1); false past the last. */
bool   cm_view_node(const struct view *view, int domain, int i, struct view_node *out);
/* The share of the domain's uses of experts that fall into bins 0 … bin of reuse, over all layers. */
double cm_view_reused_within(const struct view *view, const calmoe_profile_domain *domain, int bin);
/* Means over the domain's tokens: layers used, experts used in all of these, bytes. 0 if there are no tokens. */
double cm_view_layers_per_token(const struct view *view, const calmoe_profile_domain *domain);
double cm_view_experts_per_token(const struct view *view, const calmoe_profile_domain *domain);
double cm_view_bytes_per_token(uint64_t n_bytes, const calmoe_profile_domain *domain);
/* The domain's pairs with the most bits, best first, at most N_TOGETHER; returns how many there are. */
int    cm_view_together(const struct view *view, int domain, struct together best[N_TOGETHER]);
/* Remote bytes per token of a prediction: the sum of node_bytes (nodes) / tokens. */
double cm_forecast_per_token(const struct forecast *it, const uint64_t *node_bytes);

/* Print the view as tables for people, or as JSON for programs. */
void cm_view_print(const struct view *view);
bool cm_view_print_json(const struct view *view);
/* Add a domain's figures to its JSON object, and the predictions to the root's "predicted". */
void cm_view_add_domain(struct json_output *json, struct json_node *object, const struct view *view, int i);
void cm_view_add_forecasts(struct json_output *json, const struct view *view);

#endif
