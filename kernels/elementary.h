/* kernels/elementary.h - exp, log, sine and cosine in double precision, computed with + - * / only, so that they give
 * the same bits on every machine, whatever its C library. They use Taylor series on reduced arguments; errors are a few
 * units in the last place. Not meant for inner loops. */
#ifndef KERNELS_ELEMENTARY_H
#define KERNELS_ELEMENTARY_H

double cm_exp(double x); /* 0 below -708, huge but finite above 709      */
double cm_ln(double x); /* x > 0 and normal                             */
/* Meant for |x| below about 2^20, since the reduction subtracts multiples of pi/2 in three exact parts. Beyond, digits
 * are lost; from 2^40 on, and for infinities and NaN, the angle counts as 0. */
void cm_sine_cosine(double x, double *sine, double *cosine);

#endif
