/* kernels/unroll.h - loops written out, so that what they index becomes registers. */
#ifndef KERNELS_UNROLL_H
#define KERNELS_UNROLL_H

#define CM_ALWAYS_INLINE static inline __attribute__((always_inline))

/* Before a loop with few, constant turns. A sanitizer checks each access and would take minutes to compile what is
 * written out, so for it loops stay loops. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define CM_UNROLLED
#else
#define CM_UNROLLED _Pragma("clang loop unroll(full)")
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CM_UNROLLED
#else
#define CM_UNROLLED _Pragma("GCC unroll 8")
#endif

#endif
