/* base/seats.h - decides how many workers a team has by default, and on which cores they sit. These are decisions over
 * plain data; team_seats.c carries them out. */
#ifndef BASE_SEATS_H
#define BASE_SEATS_H

#include "base/topology.h"

/* The default number of workers, when other processes use n_taken of the cores. With a quota of processor time that is
 * worth less than all cores, it is what the quota is worth. Else, if others use at most half of the cores, it is the
 * number of the other cores: a single worker on a shared core would make all others wait, so that n workers would run
 * only as fast as half as many. If others use more than half, it is the number of all cores: those left over would be
 * too few, and the others may soon be idle. */
int cm_default_workers(const struct topology *topology, int n_taken);

/* Distributes workers over the nodes in proportion to their cores (the remainder goes to the nodes with the largest
 * fractions, of equal ones to the first), and chooses a core for each: on each node first the cores that are not taken.
 * If there are enough cores that are not taken for all workers, only these count. If there are more workers than cores,
 * workers share cores. taken (n_cores) is read; n_on_node (n_nodes) and cores (n_workers, indices into topology.cores,
 * node by node) are written. */
void cm_plan_seats(const struct topology *topology, int n_workers, const bool *taken, int *n_on_node, int32_t *cores);

/* Divides cores, visited in order, into the groups of a barrier: answers whether this core begins a new group, after
 * the core `last` (NULL = none), whose group has n_members. Neighbours on the same node and with the same last-level
 * cache form a group, until it is full. */
bool cm_begins_group(const struct topology_core *last, const struct topology_core *core, int n_members);

#endif
