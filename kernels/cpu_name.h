/* kernels/cpu_name.h - what the processor calls itself and its maker. */
#ifndef KERNELS_CPU_NAME_H
#define KERNELS_CPU_NAME_H

#include <stddef.h>

/* "AMD EPYC 9R14", without blanks at its ends or doubled; "" where it does not say. */
void cm_cpu_name(char *text, size_t n_text);

enum { CM_CPU_VENDOR_SIZE = 13 };
/* "AuthenticAMD", "GenuineIntel", …; "" where it does not say. */
void cm_cpu_vendor(char vendor[CM_CPU_VENDOR_SIZE]);

#endif
