/* kernels/nonlinearity.h - the functions that make the hidden state h of a feed-forward block from the products gate
 * and up, element by element: one row of a table each. Their code is in the vector ops nonlinear[] (vector_ops.h).
 *
 * s is the logistic function, s(x) = 1 / (1 + e^-x). NaN stays NaN. */
#ifndef KERNELS_NONLINEARITY_H
#define KERNELS_NONLINEARITY_H

#include <stdbool.h>

enum nonlinearity {
    NONLINEARITY_SILU_UP,      /* gate s(gate) * up                                                              */
    NONLINEARITY_GELU_UP,      /* gelu(gate) * up, in the form with tanh: gelu(x) = x (1 + tanh u) / 2 = x s(2 u),
                                  u = sqrt(2 / pi) (x + 0.044715 x^3)                                            */
    NONLINEARITY_CLAMPED_UP,   /* g s(1.702 g) * (u + 1), g = gate but at most 7, u = up but within -7 ... 7       */
    NONLINEARITY_RELU_SQUARED, /* max(up, 0)^2; there is no gate                                                 */
    NONLINEARITY_SILU,         /* up s(up); there is no gate                                                     */
    NONLINEARITY_GELU,         /* gelu(up), in the form with tanh; there is no gate                              */
    NONLINEARITY_COUNT
};

struct nonlinearity_row {
    const char *name;     /* for messages */
    bool        has_gate; /* a second matrix besides up */
};

extern const struct nonlinearity_row cm_nonlinearities[NONLINEARITY_COUNT];

#endif
