/* Products of 8-bit integers with AVX-512 VNNI, four times as many a cycle as of floats.
 *
 * Both factors are scaled in groups of 64 inputs, so that an outlier costs precision in its own group alone (blocks as in
 * Dettmers et al. 2021, arXiv:2110.02861). Inputs are seldom symmetric: a group is from its least value to its largest,
 * x = scale * q + low. A row's sums are made in the same order whatever other rows there are. */
#pragma once
#include <immintrin.h>

#include "product.h"

enum { GROUP = 64, HALF = 32 };

/* Weights packed as [outputs / 32][inputs / 4][32][4] bytes; scale and sum [outputs / 32][inputs / 64][32]: of a group,
 * and of its weights, for what `low` adds. */
typedef struct {
    const int8_t *weight;
    const float *scale, *sum, *bias;
    int64_t inputs, outputs;
} Linear;

/* q [rows, inputs]; scale and low [rows, inputs / 64]. */
typedef struct {
    uint8_t *q;
    float *scale, *low;
    long inputs;
} Quantized;

static inline void quantize_group(const float *x, Quantized to, long row, long group) {
    __m512 parts[4], most, least;
    for (int i = 0; i < 4; i++) parts[i] = _mm512_loadu_ps(x + 16 * i);
    most = _mm512_max_ps(_mm512_max_ps(parts[0], parts[1]), _mm512_max_ps(parts[2], parts[3]));
    least = _mm512_min_ps(_mm512_min_ps(parts[0], parts[1]), _mm512_min_ps(parts[2], parts[3]));
    float low = _mm512_reduce_min_ps(least), range = _mm512_reduce_max_ps(most) - low + 1e-12f;
    __m512 by = _mm512_set1_ps(255.0f / range), from = _mm512_set1_ps(-low * (255.0f / range));
    for (int i = 0; i < 4; i++) {
        __m512i q = _mm512_cvtps_epu32(_mm512_fmadd_ps(parts[i], by, from));
        _mm_storeu_si128((__m128i *)(to.q + row * to.inputs + group * GROUP + 16 * i), _mm512_cvtusepi32_epi8(q));
    }
    to.scale[row * (to.inputs / GROUP) + group] = range / 255.0f;
    to.low[row * (to.inputs / GROUP) + group] = low;
}

static inline void quantize_row(const float *x, Quantized to, long row) {
    for (long group = 0; group < to.inputs / GROUP; group++) quantize_group(x + group * GROUP, to, row, group);
}

/* Sums of `rows` rows, a constant where it is inlined, with 32 outputs. */
static inline __attribute__((always_inline)) void int8_tile(Quantized x, long first, const int8_t *w,
                                                            const float *scale, const float *weight_sum,
                                                            const int rows, float (*out)[BLOCK]) {
    long inputs = x.inputs, groups = inputs / GROUP;
    const uint8_t *q = x.q + first * inputs;
    const float *row_scale = x.scale + first * groups, *row_low = x.low + first * groups;
    __m512 sum[TOGETHER][2];
#pragma GCC unroll 6
    for (int row = 0; row < rows; row++) sum[row][0] = sum[row][1] = _mm512_setzero_ps();
    for (long g = 0; g < groups; g++, scale += HALF, weight_sum += HALF) {
        __m512i part[TOGETHER][2];
#pragma GCC unroll 6
        for (int row = 0; row < rows; row++) part[row][0] = part[row][1] = _mm512_setzero_si512();
#pragma GCC unroll 2
        for (long k = g * GROUP; k < (g + 1) * GROUP; k += 4, w += 4 * HALF) {
            __m512i weights[2] = {_mm512_loadu_si512(w), _mm512_loadu_si512(w + 64)};
#pragma GCC unroll 6
            for (int row = 0; row < rows; row++) {
                int32_t four;
                memcpy(&four, q + row * inputs + k, 4);
                __m512i all = _mm512_set1_epi32(four);
#pragma GCC unroll 2
                for (int i = 0; i < 2; i++) part[row][i] = _mm512_dpbusd_epi32(part[row][i], all, weights[i]);
            }
        }
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            __m512 scales = _mm512_loadu_ps(scale + 16 * i), sums = _mm512_loadu_ps(weight_sum + 16 * i);
#pragma GCC unroll 6
            for (int row = 0; row < rows; row++) {
                __m512 own = _mm512_mul_ps(_mm512_cvtepi32_ps(part[row][i]), scales);
                sum[row][i] = _mm512_fmadd_ps(own, _mm512_set1_ps(row_scale[row * groups + g]), sum[row][i]);
                sum[row][i] = _mm512_fmadd_ps(sums, _mm512_set1_ps(row_low[row * groups + g]), sum[row][i]);
            }
        }
    }
#pragma GCC unroll 6
    for (int row = 0; row < rows; row++)
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) _mm512_storeu_ps(out[row] + 16 * i, sum[row][i]);
}

/* out[row] = outputs 64 * block to 64 * block + 63 of up to six rows, with their biases. */
static void int8_products(Quantized x, long first, int rows, const Linear *linear, long block,
                          float out[TOGETHER][BLOCK]) {
    long inputs = linear->inputs, groups = inputs / GROUP;
    for (long half = 2 * block; half < 2 * block + 2; half++) {
        const int8_t *w = linear->weight + half * HALF * inputs;
        const float *scale = linear->scale + half * groups * HALF, *sum = linear->sum + half * groups * HALF;
        float(*to)[BLOCK] = (float(*)[BLOCK])(out[0] + half % 2 * HALF);
        switch (rows) {
            case 1: int8_tile(x, first, w, scale, sum, 1, to); break;
            case 2: int8_tile(x, first, w, scale, sum, 2, to); break;
            case 3: int8_tile(x, first, w, scale, sum, 3, to); break;
            case 4: int8_tile(x, first, w, scale, sum, 4, to); break;
            case 5: int8_tile(x, first, w, scale, sum, 5, to); break;
            default: int8_tile(x, first, w, scale, sum, TOGETHER, to);
        }
    }
    for (int row = 0; row < rows; row++)
        for (int i = 0; i < BLOCK; i++) out[row][i] += linear->bias[block * BLOCK + i];
}
