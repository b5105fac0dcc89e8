/* log_probability.h - natural logarithms of probabilities, ln softmax, from logits. In double, in the order of ids,
 * with + - * / alone, so that they are the same bits on every machine. */
#ifndef RUNTIME_SAMPLE_LOG_PROBABILITY_H
#define RUNTIME_SAMPLE_LOG_PROBABILITY_H

#include <stdint.h>

/* ln of the sum of e^logit over logits (n >= 1), which are finite. Terms below e^-50 of the largest count as none: the
 * sum's last bit is e^-36. */
double cm_log_sum(const float *logits, int32_t n);
/* The n_top (<= n) largest, best first, the lower id of equals first, as probabilities' logarithms. */
void   cm_log_top(const float *logits, int32_t n, double log_sum, int n_top, int32_t *tokens, float *logprobs);

#endif
