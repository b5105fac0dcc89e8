/* kernels/unroll.h - attributes for the loops and helper functions of kernels.
 *
 * CM_INLINE      always inlined, so that code compiled for one instruction set cannot be linked into others
 * CM_APART       the same where it is not inlined, so that its variables take no registers of its caller
 * CM_FORM        a function whose callers pass constants, compiled anew for each of them
 * CM_UNROLL      before a loop of up to 8 turns: unrolled, so that the arrays that it indexes become registers
 * CM_UNROLL_16   of up to 16
 *
 * A sanitizer checks each access, and would take minutes to compile unrolled loops. So in such builds loops stay loops,
 * and a CM_FORM is compiled once for all its callers. */
#ifndef KERNELS_UNROLL_H
#define KERNELS_UNROLL_H

#define CM_INLINE static inline __attribute__((always_inline))
#define CM_APART static __attribute__((noinline))

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define CM_IS_SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CM_IS_SANITIZED
#endif

#if defined(CM_IS_SANITIZED)
#define CM_FORM CM_APART
#else
#define CM_FORM CM_INLINE
#endif

#if defined(CM_IS_SANITIZED)
#define CM_UNROLL
#define CM_UNROLL_16
#elif defined(__clang__)
#define CM_UNROLL _Pragma("clang loop unroll(full)")
#define CM_UNROLL_16 CM_UNROLL
#else
#define CM_UNROLL _Pragma("GCC unroll 8")
#define CM_UNROLL_16 _Pragma("GCC unroll 16")
#endif

#endif
