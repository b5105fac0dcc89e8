/* base/seats.h - how many workers a team has when nobody says, and on which cores they sit: decided over plain data,
 * for team.c to carry out. */
#ifndef BASE_SEATS_H
#define BASE_SEATS_H

#include "base/topology.h"

/* n_taken: cores that other processes work on. All cores, or as many as a quota of processor time is worth. Where no
 * quota is, and others work on fewer than half of the cores, the rest: one worker on a core that is shared makes all
 * others wait for it, so that n workers would run as fast as half as many. Where others work on more, all cores: the
 * rest would be less than half, and those that work now may be idle soon. */
int cm_default_workers(const struct topology *topology, int n_taken);

/* Spreads workers over the nodes in proportion to their cores, what remains to the largest remainders, of equals to
 * the first node; and chooses a core for each, the node's first ones that others have not taken before the others.
 * Where all workers can have one that is not taken, only such cores count. More workers than cores share them.
 * taken (n_cores); n_on_node (n_nodes) and cores (n_workers, into topology.cores, node after node) are written. */
void cm_plan_seats(const struct topology *topology, int n_workers, const bool *taken, int *n_on_node, int32_t *cores);

/* The groups of a barrier, over cores in order: does this one begin a group, behind `last` (NULL = none) in one of
 * n_members? Neighbours that share a node and a cache belong together, until a group is full. */
bool cm_begins_group(const struct topology_core *last, const struct topology_core *core, int n_members);

#endif
