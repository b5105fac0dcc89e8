/* nonlinearity.c - see nonlinearity.h. */
#include "kernels/nonlinearity.h"

const struct nonlinearity_row cm_nonlinearities[NONLINEARITY_COUNT] = {
    [NONLINEARITY_SILU_UP] = {"silu * up", true},
    [NONLINEARITY_GELU_UP] = {"gelu * up", true},
    [NONLINEARITY_CLAMPED_UP] = {"clamped silu * (up + 1)", true},
    [NONLINEARITY_RELU_SQUARED] = {"relu^2", false},
    [NONLINEARITY_SILU] = {"silu", false},
    [NONLINEARITY_GELU] = {"gelu", false},
};
