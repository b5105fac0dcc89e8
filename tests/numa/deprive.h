/* deprive.h - takes things away from this process that a system may refuse it. For good: call it in a child. */
#ifndef TESTS_NUMA_DEPRIVE_H
#define TESTS_NUMA_DEPRIVE_H

#include <stddef.h>

void deprive_of_nothing(void);
/* What a container's usual filter refuses: mbind, set_mempolicy, get_mempolicy, move_pages (EPERM). */
void deprive_of_memory_policy(void);
void deprive_of_binding(void);  /* mbind and set_mempolicy only: where pages are can be asked */
void deprive_of_pins(void);     /* sched_setaffinity                                         */
void deprive_of_root(void);     /* a user without any capability                             */
void deprive_of_nodes(void);    /* a cpuset with the memory of node 0 only                   */
/* All but about `left` bytes of what a node can give is taken by this process. */
void deprive_of_room(unsigned os_index, size_t left);
void give_room_back(void);

#endif
