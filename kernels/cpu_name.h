/* kernels/cpu_name.h - what the processor calls itself. */
#ifndef KERNELS_CPU_NAME_H
#define KERNELS_CPU_NAME_H

#include <stddef.h>

/* "AMD EPYC 9R14", without blanks at its ends or doubled; "" where it does not say. */
void cm_cpu_name(char *text, size_t n_text);

#endif
