/* base/core_claims.h - which cores processes of calmoe work on, so that two of them do not pin threads to the same ones
 * while others are idle.
 *
 * A claim is a lock on one byte of a file that all processes of this machine see: byte n is for the system's hardware
 * thread n. The system drops a lock with the process that holds it, however that ends. The file is never written to,
 * and one that is not a plain file, or not ours to open, only means that nobody knows of the others: then all cores
 * look free, and every claim succeeds. The environment variable CALMOE_CORES names another file; empty: none. */
#ifndef BASE_CORE_CLAIMS_H
#define BASE_CORE_CLAIMS_H

#include <stdbool.h>

/* Has another process claimed the hardware thread? What this process has claimed is its own. */
bool cm_core_is_taken(unsigned pu);

/* False: another process has it. A process may claim one several times, and gives it up as often. */
bool cm_core_claim(unsigned pu);
void cm_core_release(unsigned pu);

#endif
