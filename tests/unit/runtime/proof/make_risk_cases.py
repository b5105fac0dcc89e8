#!/usr/bin/env python3
"""Writes risk_cases.inc: the binomial distribution to 40 digits; p-values by numpy and scipy, betting written anew.

Run with scipy and mpmath: make_risk_cases.py > risk_cases.inc. Losses are those of test_risk_bounds.c: loss i is
((i * 7919) % modulus < kept ? ((i * 104729) % 101) / 100 * scale : 0), or 0 and 1 for the exact binomial."""
import mpmath
import numpy as np
from scipy import special


mpmath.mp.dps = 40


def ln_pmf(k, n, p):
    """Of the double p, to 40 digits; scipy's logpmf has 9 of them at n = 1e6."""
    p = mpmath.mpf(p)
    return mpmath.log(mpmath.binomial(n, k)) + k * mpmath.log(p) + (n - k) * mpmath.log(1 - p)


def ln_cdf(k, n, p):
    if k >= n:
        return 0.0
    if k > n * p:
        return float(mpmath.log(1 - tail(n - k - 1, n, 1 - mpmath.mpf(p))))
    return float(mpmath.log(tail(k, n, mpmath.mpf(p))))


def tail(k, n, p):
    """P(X <= k), k below the mean, term after term downwards."""
    term = total = mpmath.exp(ln_pmf(k, n, p))
    for j in range(k, 0, -1):
        term *= mpmath.mpf(j) / (n - j + 1) * (1 - p) / p
        total += term
        if term < total * mpmath.mpf(10) ** -30:
            break
    return total


def losses(n, modulus, kept, scale, is_binary):
    i = np.arange(n, dtype=np.int64)
    hit = (i * 7919) % modulus < kept
    value = np.ones(n) if is_binary else ((i * 104729) % 101) / 100 * scale
    return np.where(hit, value, 0.0)


def hoeffding_bentkus(x, delta):
    n, r = len(x), x.mean()
    a = min(r, delta)
    h = special.rel_entr(a, delta) + special.rel_entr(1 - a, 1 - delta)
    return min(-n * h, 1 + ln_cdf(int(np.ceil(round(x.sum(), 9))), n, delta))


def wsr(x, delta, epsilon):
    n = len(x)
    count = np.arange(1, n + 1)
    mean = (0.5 + np.cumsum(x)) / (count + 1)
    variance = (0.25 + np.cumsum((x - mean) ** 2)) / (count + 1)
    before = np.concatenate(([0.25], variance[:-1]))
    bet = np.minimum(1, np.sqrt(2 * np.log(1 / epsilon) / (n * before)))
    return -max(0.0, np.max(np.cumsum(np.log1p(-bet * (x - delta)))))


print("/* risk_cases.inc - written by make_risk_cases.py */")
print("static const struct {\n    int64_t k, n;\n    double p, ln_pmf, ln_cdf;\n} binomial_cases[] = {")
for n, p in [(1, 0.3), (7, 0.5), (15, 0.01), (16, 0.01), (40, 0.9), (299, 0.01), (1000, 0.01), (2000, 0.05),
             (14979, 0.01), (100000, 0.001), (1000000, 0.01), (1000000, 0.5)]:
    mean = int(n * p)
    for k in sorted({0, 1, mean // 2, max(mean - 3, 0), mean, min(mean + 3, n), min(2 * mean + 1, n), n - 1, n}):
        print(f"    {{{k}, {n}, {p!r}, {float(ln_pmf(k, n, p)):.17g}, {ln_cdf(k, n, p):.17g}}},")
print("};")
print("static const struct {\n    int n, modulus, kept;\n    double scale;\n    bool is_binary;\n"
      "    double delta, epsilon, ln_p[3];\n} risk_cases[] = {")
for n, modulus, kept, scale, is_binary, delta, epsilon in [
        (100, 10, 0, 1.0, True, 0.01, 0.05), (299, 10, 0, 1.0, True, 0.01, 0.05),
        (1000, 1000, 5, 1.0, True, 0.01, 0.05),
        (1000, 1000, 9, 1.0, True, 0.01, 0.05), (1000, 1000, 20, 1.0, True, 0.01, 0.05),
        (500, 10, 10, 1.0, True, 0.1, 0.05),
        (1000, 100, 100, 0.01, False, 0.01, 0.05), (1000, 100, 20, 0.05, False, 0.01, 0.05),
        (2000, 100, 50, 0.2, False, 0.1, 0.01), (3000, 100, 30, 1.0, False, 0.2, 0.05),
        (777, 7, 3, 0.9, False, 0.25, 0.1),
        (200000, 1000, 4, 1.0, True, 0.005, 0.05), (1000000, 1000, 100, 0.1, False, 0.0052, 0.001)]:
    x = losses(n, modulus, kept, scale, is_binary)
    exact = ln_cdf(int(x.sum()), n, delta) if is_binary else 0.0
    values = [wsr(x, delta, epsilon), min(hoeffding_bentkus(x, delta), 0.0), exact]
    text = ", ".join(f"{v:.17g}" for v in values)
    binary = str(is_binary).lower()
    print(f"    {{{n}, {modulus}, {kept}, {scale!r}, {binary}, {delta!r}, {epsilon!r},\n     {{{text}}}}},")
print("};")
