/* Attention of single tokens over keys and values in blocks, read where they lie. */
#include "bfloat16.h"

/* Norms the heads of queries and keys (norm may be null), rotates them, and puts keys and values into the cache.
 *
 * qkv [tokens, heads + 2 * kv_heads, dim]: its queries are overwritten; cos, sin [tokens, dim] (the sine's first half
 * negative); keys, values [slots, kv_heads, dim]. */
void rotate_and_store(bf16 *qkv, const float *norm, float epsilon, const bf16 *cos, const bf16 *sin,
                      const int64_t *slots, bf16 *keys, bf16 *values, long tokens, long heads, long kv_heads, long dim,
                      int threads) {
    long half = dim / 2;
#pragma omp parallel for num_threads(threads) if (tokens >= 8)
    for (long t = 0; t < tokens; t++) {
        bf16 *row = qkv + t * (heads + 2 * kv_heads) * dim;
        const bf16 *c = cos + t * dim, *s = sin + t * dim;
        for (long h = 0; h < heads + kv_heads; h++) {
            bf16 *x = row + h * dim;
            bf16 *out = h < heads ? x : keys + (slots[t] * kv_heads + h - heads) * dim;
            if (norm) {
                float sum = 0;
                for (long i = 0; i < dim; i++) sum += widen(x[i]) * widen(x[i]);
                float scale = 1.0f / __builtin_sqrtf(sum / (float)dim + epsilon);
                for (long i = 0; i < dim; i++) x[i] = narrow(widen(x[i]) * scale * norm[h * dim + i]);
            }
            for (long i = 0; i < half; i++) {
                float low = widen(x[i]), high = widen(x[half + i]);
                out[i] = narrow(rounded(low * widen(c[i])) + rounded(high * widen(s[i])));
                out[half + i] = narrow(rounded(high * widen(c[half + i])) + rounded(low * widen(s[half + i])));
            }
        }
        memcpy(values + slots[t] * kv_heads * dim, row + (heads + kv_heads) * dim, kv_heads * dim * sizeof(bf16));
    }
}

enum { MOST_GROUP = 16, MOST_BLOCK = 64, MOST_DIM = 256 };

/* out [rows, heads, dim] = softmax(scale * q k^T) v, over positions [from[row], until[row]).
 *
 * qkv as above; table [rows, width] of block numbers, the first of which begins at position offset[row]. Softmax as
 * the blocks come (Milakov and Gimelshein 2018, arXiv:1805.02867). */
void attend_singles(const bf16 *qkv, const bf16 *keys, const bf16 *values, const int64_t *table, long width,
                    const int64_t *offset, const int64_t *from, const int64_t *until, bf16 *out, float scale,
                    long rows, long heads, long kv_heads, long dim, long block, int threads) {
    long group = heads / kv_heads;
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (rows * kv_heads > 1)
    for (long work = 0; work < rows * kv_heads; work++) {
        long row = work / kv_heads, kv = work % kv_heads;
        float q[MOST_GROUP][MOST_DIM], mixed[MOST_GROUP][MOST_DIM], most[MOST_GROUP], total[MOST_GROUP];
        for (long g = 0; g < group; g++) {
            const bf16 *x = qkv + (row * (heads + 2 * kv_heads) + kv * group + g) * dim;
            for (long i = 0; i < dim; i++) q[g][i] = widen(x[i]) * scale, mixed[g][i] = 0;
            most[g] = -1e30f, total[g] = 0;
        }
        long begin = from[row], end = until[row];
        for (long b = (begin - offset[row]) / block; offset[row] + b * block < end; b++) {
            long start = offset[row] + b * block;
            long first = begin > start ? begin - start : 0, last = end - start < block ? end - start : block;
            const bf16 *k = keys + (table[row * width + b] * block * kv_heads + kv) * dim;
            const bf16 *v = values + (table[row * width + b] * block * kv_heads + kv) * dim;
            float scores[MOST_GROUP][MOST_BLOCK];
            for (long g = 0; g < group; g++) {
                float best = most[g];
                for (long p = first; p < last; p++) {
                    const bf16 *key = k + p * kv_heads * dim;
                    float score = 0;
                    for (long i = 0; i < dim; i++) score += q[g][i] * widen(key[i]);
                    scores[g][p] = score;
                    best = score > best ? score : best;
                }
                float shrink = exponential(most[g] - best);
                most[g] = best, total[g] *= shrink;
                for (long i = 0; i < dim; i++) mixed[g][i] *= shrink;
                for (long p = first; p < last; p++) {
                    scores[g][p] = exponential(scores[g][p] - best);
                    total[g] += scores[g][p];
                }
            }
            for (long p = first; p < last; p++) {
                const bf16 *value = v + p * kv_heads * dim;
                for (long g = 0; g < group; g++)
                    for (long i = 0; i < dim; i++) mixed[g][i] += scores[g][p] * widen(value[i]);
            }
        }
        for (long g = 0; g < group; g++)
            for (long i = 0; i < dim; i++)
                out[(row * heads + kv * group + g) * dim + i] = narrow(mixed[g][i] / total[g]);
    }
}
