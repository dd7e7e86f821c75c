/* The inner product that every matrix product here is made of: a few rows with 16 to 64 outputs.
 *
 * Weights [outputs, inputs] are packed as [outputs / 16][inputs / 2][16][2]: a register holds two inputs of 16 outputs.
 * Every output is summed in the same order whatever other rows there are, so a row's result never depends on them.
 * While weights are used a second time nothing is read from memory: what is needed `soon`, 128 bytes for every two
 * inputs, is fetched meanwhile. */
#pragma once
#include "bfloat16.h"

enum { LANES = 16, GROUPS = 4, BLOCK = LANES * GROUPS, TOGETHER = 6 };

/* Bytes 64 * k to 64 * k + 127, into the second level of the cache. */
static inline void fetch(const void *soon, long k) {
    __builtin_prefetch((const char *)soon + 64 * k, 0, 2);
    __builtin_prefetch((const char *)soon + 64 * k + 64, 0, 2);
}

/* What the pass over weights [64, inputs] with rows `first` and the five after it fetches: in two passes all of the
 * `next` weights, `bytes` long; then its own, which are there. */
static inline const void *soon_after(long first, const void *next, long bytes, const void *own) {
    return first < 2 * TOGETHER ? (const char *)next + first / TOGETHER * (bytes / 2) : own;
}

#if defined(__AVX512BF16__)
#include <immintrin.h>

/* sums[row][0 to 16 * groups - 1]; `apart` lies between the weights of two groups. `rows` and `groups` are constants
 * where it is inlined, so that the sums stay in registers. */
static inline __attribute__((always_inline)) void product_tile(const bf16 *const *x, const bf16 *w, long inputs,
                                                               long apart, const int rows, const int groups,
                                                               float sums[TOGETHER][BLOCK], const void *soon) {
    __m512 sum[TOGETHER][GROUPS];
#pragma GCC unroll 6
    for (int row = 0; row < rows; row++)
#pragma GCC unroll 4
        for (int g = 0; g < groups; g++) sum[row][g] = _mm512_setzero_ps();
    for (long k = 0; k < inputs; k += 2) {
        __m512bh weights[GROUPS];
        fetch(soon, k);
#pragma GCC unroll 4
        for (int g = 0; g < groups; g++) weights[g] = (__m512bh)_mm512_loadu_si512(w + g * apart + k * LANES);
#pragma GCC unroll 6
        for (int row = 0; row < rows; row++) {
            int32_t two;
            memcpy(&two, x[row] + k, 4);
            __m512bh both = (__m512bh)_mm512_set1_epi32(two);
#pragma GCC unroll 4
            for (int g = 0; g < groups; g++) sum[row][g] = _mm512_dpbf16_ps(sum[row][g], weights[g], both);
        }
    }
#pragma GCC unroll 6
    for (int row = 0; row < rows; row++)
#pragma GCC unroll 4
        for (int g = 0; g < groups; g++) _mm512_storeu_ps(sums[row] + g * LANES, sum[row][g]);
}

#else

static inline void product_tile(const bf16 *const *x, const bf16 *w, long inputs, long apart, int rows, int groups,
                                float sums[TOGETHER][BLOCK], const void *soon) {
    for (int row = 0; row < rows; row++)
        for (int g = 0; g < groups; g++) {
            float sum[LANES] = {0};
            for (long k = 0; k < inputs; k += 2) {
                const bf16 *weights = w + g * apart + k * LANES;
                float first = widen(x[row][k]), second = widen(x[row][k + 1]);
                for (int i = 0; i < LANES; i++)
                    sum[i] += first * widen(weights[2 * i]) + second * widen(weights[2 * i + 1]);
            }
            memcpy(sums[row] + g * LANES, sum, sizeof sum);
        }
}

#endif

/* sums[row][0 to 16 * groups - 1] of up to 6 rows and 4 groups of outputs. `inputs` are even. */
static inline void products(const bf16 *const *x, int rows, const bf16 *w, long inputs, long apart, int groups,
                            float sums[TOGETHER][BLOCK], const void *soon) {
#define CASE(ROWS)                                                                                                    \
    case ROWS:                                                                                                        \
        if (groups == GROUPS)                                                                                         \
            product_tile(x, w, inputs, apart, ROWS, GROUPS, sums, soon);                                              \
        else                                                                                                          \
            for (int g = 0; g < groups; g++) {                                                                        \
                float some[TOGETHER][BLOCK];                                                                          \
                product_tile(x, w + g * apart, inputs, apart, ROWS, 1, some, soon);                                   \
                for (int row = 0; row < ROWS; row++) memcpy(sums[row] + g * LANES, some[row], LANES * sizeof(float)); \
            }                                                                                                         \
        break;
    switch (rows) {
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) default : switch (TOGETHER) { CASE(TOGETHER) }
    }
#undef CASE
}
