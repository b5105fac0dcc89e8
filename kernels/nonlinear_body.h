/* kernels/nonlinear_body.h - the functions of nonlinearity.h on sixteen lanes; a part of vector_body.h, which includes
 * it behind lanes_sigmoid(). If one operand of a max or min may be NaN, it is the second one, so that the result is
 * NaN. */
#ifndef KERNELS_NONLINEAR_BODY_H
#define KERNELS_NONLINEAR_BODY_H

static void silu_up(const float *gate, const float *up, int n, float *h)
{
    for (int i = 0; i < n; i += 16) {
        const int m = least(16, n - i);
        const lanes g = load_up_to(gate + i, m, 0.0f);
        const lanes silu = lanes_mul(g, lanes_sigmoid(g));
        store_up_to(h + i, lanes_mul(silu, load_up_to(up + i, m, 0.0f)), m);
    }
}

static inline lanes lanes_gelu(lanes x)
{
    const lanes cubic = lanes_set(0.044715f), twice_slope = lanes_set(1.5957691216f); /* 2 sqrt(2 / pi) */
    const lanes u = lanes_mul(x, lanes_fma(lanes_mul(x, x), cubic, lanes_set(1.0f)));
    return lanes_mul(x, lanes_sigmoid(lanes_mul(u, twice_slope)));
}

static void gelu_up(const float *gate, const float *up, int n, float *h)
{
    for (int i = 0; i < n; i += 16) {
        const int m = least(16, n - i);
        const lanes gelu = lanes_gelu(load_up_to(gate + i, m, 0.0f));
        store_up_to(h + i, lanes_mul(gelu, load_up_to(up + i, m, 0.0f)), m);
    }
}

static void gelu_alone(const float *gate, const float *up, int n, float *h)
{
    (void)gate;
    for (int i = 0; i < n; i += 16) {
        const int m = least(16, n - i);
        store_up_to(h + i, lanes_gelu(load_up_to(up + i, m, 0.0f)), m);
    }
}

static void clamped_up(const float *gate, const float *up, int n, float *h)
{
    const lanes most = lanes_set(7.0f), least_up = lanes_set(-7.0f);
    for (int i = 0; i < n; i += 16) {
        const int m = least(16, n - i);
        const lanes g = lanes_min(most, load_up_to(gate + i, m, 0.0f));
        const lanes u = lanes_max(least_up, lanes_min(most, load_up_to(up + i, m, 0.0f)));
        const lanes swish = lanes_mul(g, lanes_sigmoid(lanes_mul(g, lanes_set(1.702f))));
        store_up_to(h + i, lanes_mul(swish, lanes_add(u, lanes_set(1.0f))), m);
    }
}

static void relu_squared(const float *gate, const float *up, int n, float *h)
{
    (void)gate;
    for (int i = 0; i < n; i += 16) {
        const int m = least(16, n - i);
        const lanes u = lanes_max(lanes_set(0.0f), load_up_to(up + i, m, 0.0f));
        store_up_to(h + i, lanes_mul(u, u), m);
    }
}

static void silu_alone(const float *gate, const float *up, int n, float *h)
{
    (void)gate;
    for (int i = 0; i < n; i += 16) {
        const int m = least(16, n - i);
        const lanes u = load_up_to(up + i, m, 0.0f);
        store_up_to(h + i, lanes_mul(u, lanes_sigmoid(u)), m);
    }
}

#endif
