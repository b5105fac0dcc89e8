/* base/core_claims.h - tells other processes of calmoe which cores this one uses, so that two of them do not pin
 * threads to the same cores while other cores are idle.
 *
 * A claim is a lock on one byte of a file that all processes of the machine share; byte n stands for the system's
 * hardware thread n. The system releases a lock when the process that holds it ends, for whatever reason. Nothing is
 * ever written to the file. If it is not a plain file, or cannot be opened, processes do not know of each other: all
 * cores look free, and every claim succeeds. The environment variable CALMOE_CORES names another file, or none if it is
 * empty. */
#ifndef BASE_CORE_CLAIMS_H
#define BASE_CORE_CLAIMS_H

#include <stdbool.h>

/* Answers whether another process has claimed the hardware thread. Claims of this process do not count. */
bool cm_core_is_taken(unsigned pu);

/* Claims a hardware thread. False: another process has it. A process may claim one several times, and must release it
 * as often. */
bool cm_core_claim(unsigned pu);
void cm_core_release(unsigned pu);

#endif
