/* guarded.h - memory whose end is the end of the world: a page that cannot be touched follows. */
#ifndef TESTS_KERNELCHECK_GUARDED_H
#define TESTS_KERNELCHECK_GUARDED_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct guarded {
    uint8_t *end; /* first byte of the forbidden page */
    size_t   n_bytes;
};

static inline struct guarded guarded_open(size_t n_bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t usable = (n_bytes + page - 1) / page * page;
    uint8_t     *memory = mmap(NULL, usable + page, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory + usable, page, PROT_NONE) != 0) {
        perror("guarded memory");
        exit(1);
    }
    return (struct guarded){ memory + usable, usable };
}

/* n_bytes that end as near to the forbidden page as alignment lets them. */
static inline void *guarded_place(const struct guarded *memory, size_t n_bytes, size_t alignment)
{
    const size_t rounded = (n_bytes + alignment - 1) / alignment * alignment;
    if (rounded > memory->n_bytes) {
        fprintf(stderr, "guarded memory: %zu bytes wanted, %zu there\n", rounded, memory->n_bytes);
        exit(1);
    }
    return memory->end - rounded;
}

#endif
