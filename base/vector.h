/*
 * One source, compiled for the vector widths that matter and picked when the program is loaded.
 */
#ifndef R2_BASE_VECTOR_H
#define R2_BASE_VECTOR_H

/* Before a function whose loops gain from wide vectors. Sanitizers run before the resolvers may,
   hence not there. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define R2_VECTOR_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define R2_VECTOR_CLONES
#endif

#endif
