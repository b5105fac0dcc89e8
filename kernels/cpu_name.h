/* kernels/cpu_name.h - the names that the processor gives for itself and its maker. */
#ifndef KERNELS_CPU_NAME_H
#define KERNELS_CPU_NAME_H

#include <stddef.h>

/* "AMD EPYC 9R14", with single blanks and none at the ends; "" if the processor gives no name. */
void cm_cpu_name(char *text, size_t n_text);

enum { CM_CPU_VENDOR_SIZE = 13 };
/* "AuthenticAMD", "GenuineIntel", …; "" if the processor gives none. */
void cm_cpu_vendor(char vendor[CM_CPU_VENDOR_SIZE]);

#endif
