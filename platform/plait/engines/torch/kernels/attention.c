/* Attention over keys and values in blocks: single tokens read them where they lie, prompts' chunks pack them first. */
#include "decoder.h"

enum { MOST_GROUP = 16, MOST_BLOCK = 64, MOST_DIM = 256 };

/* Norms the heads of queries and keys, rotates them, and puts keys and values into the cache.
 *
 * qkv [tokens, heads + 2 * kv_heads, dim]: its queries are overwritten; cos, sin [tokens, dim] (the sine's first half
 * negative); keys, values [slots, kv_heads, dim]. */
void rotate_part(Team *team, bf16 *qkv, const Attention *attention, const bf16 *cos, const bf16 *sin,
                 const int64_t *slots, bf16 *keys, bf16 *values, long tokens) {
    long heads = attention->heads, kv_heads = attention->kv_heads, dim = attention->dim, half = dim / 2;
    SHARE (t, tokens) {
        bf16 *row = qkv + t * (heads + 2 * kv_heads) * dim;
        const bf16 *c = cos + t * dim, *s = sin + t * dim;
        for (long h = 0; h < heads + kv_heads; h++) {
            bf16 *x = row + h * dim;
            bf16 *out = h < heads ? x : keys + (slots[t] * kv_heads + h - heads) * dim;
            if (attention->norm) {
                float sum = 0;
                for (long i = 0; i < dim; i++) sum += widen(x[i]) * widen(x[i]);
                float scale = 1.0f / __builtin_sqrtf(sum / (float)dim + (float)attention->epsilon);
                for (long i = 0; i < dim; i++) x[i] = narrow(widen(x[i]) * scale * attention->norm[h * dim + i]);
            }
            for (long i = 0; i < half; i++) {
                float low = widen(x[i]), high = widen(x[half + i]);
                out[i] = narrow(rounded(low * widen(c[i])) + rounded(high * widen(s[i])));
                out[half + i] = narrow(rounded(high * widen(c[half + i])) + rounded(low * widen(s[half + i])));
            }
        }
        memcpy(values + slots[t] * kv_heads * dim, row + (heads + kv_heads) * dim, kv_heads * dim * sizeof(bf16));
    }
    meet(team);
}

static long first_read(const Attention *attention, long position) {
    return attention->window && position >= attention->window ? position - attention->window + 1 : 0;
}

/* A single token's queries of one head of keys and values. Softmax as the blocks come (Milakov and Gimelshein 2018,
 * arXiv:1805.02867). */
static void attend_single(const bf16 *qkv, const Attention *attention, const bf16 *keys, const bf16 *values,
                          const Span *span, long kv, long block, bf16 *out) {
    long heads = attention->heads, kv_heads = attention->kv_heads, dim = attention->dim, group = heads / kv_heads;
    float q[MOST_GROUP][MOST_DIM], mixed[MOST_GROUP][MOST_DIM], most[MOST_GROUP], total[MOST_GROUP];
    uint32_t largest[MOST_GROUP] = {0};
    for (long g = 0; g < group; g++) {
        const bf16 *x = qkv + (span->first * (heads + 2 * kv_heads) + kv * group + g) * dim;
        for (long i = 0; i < dim; i++) q[g][i] = widen(x[i]) * (float)attention->scaling, mixed[g][i] = 0;
        most[g] = -1e30f, total[g] = 0;
    }
    long begin = first_read(attention, span->start), end = span->start + 1;
    for (long b = begin / block; b * block < end; b++) {
        long start = b * block;
        long first = begin > start ? begin - start : 0, last = end - start < block ? end - start : block;
        const bf16 *k = keys + (span->blocks[b] * block * kv_heads + kv) * dim;
        const bf16 *v = values + (span->blocks[b] * block * kv_heads + kv) * dim;
        float scores[MOST_GROUP][MOST_BLOCK];
        for (long g = 0; g < group; g++) {
            float best = most[g];
            for (long p = first; p < last; p++) {
                const bf16 *key = k + p * kv_heads * dim;
                float score = 0;
                for (long i = 0; i < dim; i++) score += q[g][i] * widen(key[i]);
                scores[g][p] = score;
                best = score > best ? score : best;
                largest[g] = magnitude(score) > largest[g] ? magnitude(score) : largest[g];
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
    for (long g = 0; g < group; g++) {
        if (largest[g] >= INFINITE) total[g] = not_a_number();
        for (long i = 0; i < dim; i++)
            out[(span->first * heads + kv * group + g) * dim + i] = narrow(mixed[g][i] / total[g]);
    }
}

/* Keys and values that a chunk reads, packed as weights of products: those of [keys, dim] and of [dim, keys]. */
typedef struct {
    long begin, count, padded; /* first position, a multiple of 64; positions; these rounded up to 64 */
    bf16 *keys, *values;       /* [kv_heads] each */
} Packed;

static Packed packed(const Attention *attention, const Span *span, bf16 *work) {
    long begin = first_read(attention, span->start) / BLOCK * BLOCK, count = span->start + span->length - begin;
    long padded = (count + BLOCK - 1) / BLOCK * BLOCK;
    return (Packed){begin, count, padded, work, work + padded * attention->kv_heads * attention->dim};
}

/* Positions 16 * group and after of one head. */
static void pack(const Attention *attention, const bf16 *keys, const bf16 *values, const Span *span, Packed to, long kv,
                 long group, long block) {
    static const bf16 nothing[MOST_DIM];
    long dim = attention->dim, kv_heads = attention->kv_heads;
    const bf16 *key[LANES], *value[LANES];
    for (long i = 0; i < LANES; i++) {
        long at = group * LANES + i, position = to.begin + at;
        key[i] = value[i] = nothing;
        if (at >= to.count) continue;
        long row = (span->blocks[position / block] * block + position % block) * kv_heads + kv;
        key[i] = keys + row * dim, value[i] = values + row * dim;
    }
    bf16 *k = to.keys + (kv * to.padded + group * LANES) * dim;
    for (long j = 0; j < dim; j += 2)
        for (long i = 0; i < LANES; i++) memcpy(k + j * LANES + 2 * i, key[i] + j, 2 * sizeof(bf16));
    for (long lanes = 0; lanes < dim; lanes += LANES) {
        bf16 *v = to.values + (kv * dim + lanes) * to.padded + group * LANES * LANES;
        for (long i = 0; i < LANES; i += 2)
            for (long j = 0; j < LANES; j++) {
                v[i * LANES + 2 * j] = value[i][lanes + j];
                v[i * LANES + 2 * j + 1] = value[i + 1][lanes + j];
            }
    }
}

/* Up to six queries of one head: their first is token `first` of the span. */
static void attend_some(const bf16 *qkv, const Attention *attention, const Span *span, Packed from, long head,
                        long first, int count, bf16 *out, float *scores, bf16 *shares) {
    long heads = attention->heads, kv_heads = attention->kv_heads, dim = attention->dim;
    long kv = head / (heads / kv_heads);
    const bf16 *in[TOGETHER];
    float sums[TOGETHER][BLOCK], total[TOGETHER];
    for (int i = 0; i < count; i++) in[i] = qkv + ((span->first + first + i) * (heads + 2 * kv_heads) + head) * dim;
    long last = span->start + first + count - 1 - from.begin; /* what the last query reads last */
    long start = (first_read(attention, span->start + first) - from.begin) / BLOCK * BLOCK;
    for (long at = start; at <= last; at += BLOCK) {
        const bf16 *keys = from.keys + (kv * from.padded + at) * dim;
        products(in, count, keys, dim, dim * LANES, GROUPS, sums, keys);
        for (int i = 0; i < count; i++) memcpy(scores + i * from.padded + at, sums[i], sizeof sums[i]);
    }
    long end = last / 2 * 2 + 2;
    for (int i = 0; i < count; i++) {
        float *s = scores + i * from.padded, most = -1e30f, sum = 0;
        bf16 *share = shares + i * from.padded;
        long position = span->start + first + i;
        long begin = first_read(attention, position) - from.begin, until = position + 1 - from.begin;
        uint32_t largest = 0;
        for (long at = begin; at < until; at++) {
            most = s[at] > most ? s[at] : most;
            largest = magnitude(s[at]) > largest ? magnitude(s[at]) : largest;
        }
        for (long at = start; at < begin; at++) share[at] = 0;
        for (long at = begin; at < until; at++) {
            float e = exponential((s[at] - most) * (float)attention->scaling);
            share[at] = narrow(e);
            sum += e;
        }
        for (long at = until; at < end; at++) share[at] = 0;
        total[i] = largest >= INFINITE ? not_a_number() : sum;
        in[i] = share + start;
    }
    for (long lanes = 0; lanes < dim; lanes += BLOCK) {
        int groups = dim - lanes < BLOCK ? (dim - lanes) / LANES : GROUPS;
        const bf16 *values = from.values + (kv * dim + lanes) * from.padded + start * LANES;
        products(in, count, values, end - start, from.padded * LANES, groups, sums, values);
        for (int i = 0; i < count; i++) {
            bf16 *o = out + ((span->first + first + i) * heads + head) * dim + lanes;
            for (int j = 0; j < groups * LANES; j++) o[j] = narrow(sums[i][j] / total[i]);
        }
    }
}

/* out [tokens, heads, dim] = softmax(scaling * q k^T) v over the positions before and at each query's own.
 *
 * qkv as above; spans of single tokens come first. work: for the longest chunk's reach rounded up to 64, its positions
 * times 2 * kv_heads * dim, and 18 more for each thread. */
void attend_part(Team *team, const bf16 *qkv, const Attention *attention, const bf16 *keys, const bf16 *values,
                 const Span *spans, long count, long block, bf16 *out, bf16 *work) {
    long heads = attention->heads, kv_heads = attention->kv_heads, dim = attention->dim, singles = 0;
    while (singles < count && spans[singles].length == 1) singles++;
    SHARE (item, singles * kv_heads)
        attend_single(qkv, attention, keys, values, spans + item / kv_heads, item % kv_heads, block, out);
    meet(team);
    for (const Span *span = spans + singles; span < spans + count; span++) {
        Packed own = packed(attention, span, work);
        long groups = own.padded / LANES, tiles = (span->length + TOGETHER - 1) / TOGETHER;
        SHARE (item, kv_heads * groups) pack(attention, keys, values, span, own, item / groups, item % groups, block);
        meet(team);
        bf16 *mine = work + 2 * own.padded * kv_heads * dim + omp_get_thread_num() * 3 * TOGETHER * own.padded;
        SHARE (item, heads * tiles) {
            long first = item % tiles * TOGETHER;
            int some = span->length - first < TOGETHER ? span->length - first : TOGETHER;
            attend_some(qkv, attention, span, own, item / tiles, first, some, out, (float *)mine,
                        mine + 2 * TOGETHER * own.padded);
        }
        meet(team);
    }
}

/* Both, for one layer. */
void attend(bf16 *qkv, const Attention *attention, const bf16 *cos, const bf16 *sin, const int64_t *slots, bf16 *keys,
            bf16 *values, const Span *spans, bf16 *out, bf16 *work, long tokens, long count, long block, int threads) {
    Team team = {0};
#pragma omp parallel num_threads(threads)
    {
        rotate_part(&team, qkv, attention, cos, sin, slots, keys, values, tokens);
        attend_part(&team, qkv, attention, keys, values, spans, count, block, out, work);
    }
}
