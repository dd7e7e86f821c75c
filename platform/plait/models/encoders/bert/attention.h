/* Attention of every token of a text to every other, head by head, in bfloat16. */
#pragma once
#include <immintrin.h>

#include "product.h"

/* Working memory for texts of up to `padded` tokens, a multiple of 16. */
typedef struct {
    bf16 *keys, *values, *shares; /* [padded, dim] twice, [6, padded] */
    float *scores;                /* [padded / 64, rounded up][6][64] */
} HeadMemory;

/* Groups of 16 outputs in a block, of so many that are left. */
static inline int groups_of(long left) { return left < BLOCK ? left / LANES : GROUPS; }

static inline long up_to(long count, long step) { return (count + step - 1) / step * step; }

static inline void narrow_16(__m512 x, bf16 *out) {
    _mm256_storeu_si256((__m256i *)out, (__m256i)_mm512_cvtneps_pbh(x));
}

/* A head's keys and values as weights of products: of [keys, dim], zeros beyond `count`, and of [dim, keys]. */
static void pack_head(const bf16 *k, const bf16 *v, long stride, long count, long dim, const HeadMemory *to) {
    long padded = up_to(count, LANES), even = up_to(count, 2);
    for (long at = 0; at < padded; at++)
        for (long j = 0; j < dim; j += 2) {
            int32_t two = 0;
            if (at < count) memcpy(&two, k + at * stride + j, 4);
            memcpy(to->keys + at / LANES * LANES * dim + j * LANES + at % LANES * 2, &two, 4);
        }
    for (long at = 0; at < even; at += 2)
        for (long lanes = 0; lanes < dim; lanes += LANES) {
            const bf16 *first = v + at * stride + lanes;
            __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)first)), high = {0};
            if (at + 1 < count) high = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(first + stride)));
            _mm512_storeu_si512(to->values + lanes * even + at * LANES, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
        }
}

/* 2^x for x <= 0, to four digits: what comes of it is rounded to bfloat16. (Beyond a text's end x is anything, and what
 * comes of it is not used.) */
static inline __m512 power_of_two(__m512 x) {
    __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 rest = _mm512_sub_ps(x, whole), p = _mm512_set1_ps(0.0550887670f);
    p = _mm512_fmadd_ps(p, rest, _mm512_set1_ps(0.2426046559f));
    p = _mm512_fmadd_ps(p, rest, _mm512_set1_ps(0.6932762833f));
    p = _mm512_fmadd_ps(p, rest, _mm512_set1_ps(0.9999289048f));
    return _mm512_scalef_ps(p, whole);
}

static inline __mmask16 lanes_of(long left) { return left >= LANES ? 0xffff : left > 0 ? (1 << left) - 1 : 0; }

/* shares [padded] = 2^(scaling * (score - the largest)), 0 from `count` on. Returns one by their sum. */
static float softmax(const float *scores, long count, float scaling, bf16 *shares) {
    long padded = up_to(count, LANES);
    __m512 most = _mm512_set1_ps(-1e30f), sum = _mm512_setzero_ps(), by = _mm512_set1_ps(scaling);
#define SCORES(AT) _mm512_loadu_ps(scores + (AT) / BLOCK * BLOCK * TOGETHER + (AT) % BLOCK)
    for (long at = 0; at < count; at += LANES) most = _mm512_mask_max_ps(most, lanes_of(count - at), most, SCORES(at));
    __m512 top = _mm512_mul_ps(_mm512_set1_ps(_mm512_reduce_max_ps(most)), by);
    for (long at = 0; at < padded; at += LANES) {
        __m512 e = power_of_two(_mm512_fmsub_ps(SCORES(at), by, top));
        e = _mm512_maskz_mov_ps(lanes_of(count - at), e);
        sum = _mm512_add_ps(sum, e);
        narrow_16(e, shares + at);
    }
#undef SCORES
    return 1.0f / _mm512_reduce_add_ps(sum);
}

/* out [count, heads * dim] = softmax(q k^T / sqrt(dim)) v; qkv [count, 3, heads, dim]. */
static void attend(const bf16 *qkv, float *out, long count, long heads, long dim, const HeadMemory *m) {
    long width = heads * dim, stride = 3 * width, padded = up_to(count, LANES), even = up_to(count, 2);
    float scaling = 1.44269504f / __builtin_sqrtf((float)dim); /* e^x = 2^(1.44… x) */
    for (long head = 0; head < heads; head++) {
        const bf16 *q = qkv + head * dim;
        pack_head(q + width, q + 2 * width, stride, count, dim, m);
        for (long first = 0; first < count; first += TOGETHER) {
            int some = count - first < TOGETHER ? count - first : TOGETHER;
            const bf16 *in[TOGETHER];
            float sums[TOGETHER][BLOCK], one_by[TOGETHER];
            for (int i = 0; i < some; i++) in[i] = q + (first + i) * stride;
            for (long at = 0; at < padded; at += BLOCK)
                products(in, some, m->keys + at * dim, dim, dim * LANES, groups_of(padded - at),
                         (float(*)[BLOCK])(m->scores + at * TOGETHER), m->keys);
            for (int i = 0; i < some; i++) {
                one_by[i] = softmax(m->scores + i * BLOCK, count, scaling, m->shares + i * padded);
                in[i] = m->shares + i * padded;
            }
            for (long lanes = 0; lanes < dim; lanes += BLOCK) {
                int groups = groups_of(dim - lanes);
                products(in, some, m->values + lanes * even, even, even * LANES, groups, sums, m->values);
                for (int i = 0; i < some; i++)
                    for (int j = 0; j < groups * LANES; j++)
                        out[(first + i) * width + head * dim + lanes + j] = sums[i][j] * one_by[i];
            }
        }
    }
}
