/* Products of 8-bit integers: half the bytes of bfloat16 and twice its arithmetic (AVX-512 VNNI).
 *
 * Weights [outputs, inputs] have a scale for each output, activations one for each row (Dettmers et al. 2022, LLM.int8,
 * arXiv:2208.07339, without its outliers). They are packed as [outputs / 16][inputs / 4][16][4] bytes, each 128 above
 * its value: the instruction multiplies an unsigned by a signed byte; 128 times a row's sum is taken off again. */
#include "decoder.h"

#if defined(__AVX512VNNI__) && defined(__AVX512F__)
#include <immintrin.h>

int has_int8(void) { return 1; }

typedef struct {
    const int8_t *x; /* [rows, inputs] */
    const int32_t *sum;
} Quantized;

/* A row's values in bytes scaled by the largest, and their sum; the scale is NaN where one of them is not finite. */
static void quantize(const bf16 *x, int8_t *q, float *scale, int32_t *sum, long inputs) {
    bf16 largest = 0;
    for (long i = 0; i < inputs; i++) {
        bf16 size = x[i] & 0x7fff; /* in the order of |x| */
        largest = size > largest ? size : largest;
    }
    if (largest >= INFINITE_BF16) {
        memset(q, 0, inputs);
        *scale = not_a_number(), *sum = 0;
        return;
    }
    float most = widen(largest) > 1e-12f ? widen(largest) : 1e-12f;
    float by = 127.0f / most;
    int32_t total = 0;
    for (long i = 0; i < inputs; i++) {
        int32_t v = (int32_t)__builtin_rintf(widen(x[i]) * by);
        q[i] = (int8_t)v;
        total += v;
    }
    *scale = most / 127.0f;
    *sum = total;
}

/* Sums of `rows` rows, a constant where it is inlined, with 64 outputs. */
static inline __attribute__((always_inline)) void tile(const int8_t *x, const uint8_t *w, long inputs, const int rows,
                                                       const void *soon, __m512i sums[TOGETHER][GROUPS]) {
    __m512i sum[TOGETHER][GROUPS];
#pragma GCC unroll 6
    for (int row = 0; row < rows; row++)
#pragma GCC unroll 4
        for (int g = 0; g < GROUPS; g++) sum[row][g] = _mm512_setzero_si512();
    for (long k = 0; k < inputs; k += 4) {
        __m512i weights[GROUPS];
        fetch(soon, k / 2);
#pragma GCC unroll 4
        for (int g = 0; g < GROUPS; g++) weights[g] = _mm512_loadu_si512(w + (g * inputs + k) * LANES);
#pragma GCC unroll 6
        for (int row = 0; row < rows; row++) {
            int32_t four;
            memcpy(&four, x + row * inputs + k, 4);
            __m512i all = _mm512_set1_epi32(four);
#pragma GCC unroll 4
            for (int g = 0; g < GROUPS; g++) sum[row][g] = _mm512_dpbusd_epi32(sum[row][g], weights[g], all);
        }
    }
#pragma GCC unroll 6
    for (int row = 0; row < rows; row++)
#pragma GCC unroll 4
        for (int g = 0; g < GROUPS; g++) sums[row][g] = sum[row][g];
}

/* float sums of up to 6 rows with a block of 64 outputs, scaled by the outputs' scales but not yet by the rows'. */
static void block_products(Quantized x, const uint8_t *w, const float *scale, long inputs, int rows, const void *soon,
                           float out[TOGETHER][BLOCK]) {
    __m512i sums[TOGETHER][GROUPS];
    switch (rows) {
        case 1: tile(x.x, w, inputs, 1, soon, sums); break;
        case 2: tile(x.x, w, inputs, 2, soon, sums); break;
        case 3: tile(x.x, w, inputs, 3, soon, sums); break;
        case 4: tile(x.x, w, inputs, 4, soon, sums); break;
        case 5: tile(x.x, w, inputs, 5, soon, sums); break;
        default: tile(x.x, w, inputs, TOGETHER, soon, sums);
    }
    for (int row = 0; row < rows; row++)
        for (int g = 0; g < GROUPS; g++) {
            __m512i own = _mm512_sub_epi32(sums[row][g], _mm512_set1_epi32(128 * x.sum[row]));
            __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(own), _mm512_loadu_ps(scale + g * LANES));
            _mm512_storeu_ps(out[row] + g * LANES, scaled);
        }
}

/* Common frame of a part: quantises x into the working memory, then runs BODY for each row and block of 64 outputs.
 * work: (inputs + 8) bytes for each row. */
#define FOR_BLOCKS(BODY)                                                                                    \
    float *row_scale = (float *)work;                                                                       \
    int32_t *row_sum = (int32_t *)(row_scale + rows);                                                       \
    int8_t *q = (int8_t *)(row_sum + rows);                                                                 \
    long blocks = outputs / BLOCK, size = BLOCK * inputs, threads = omp_get_num_threads();                  \
    SHARE (row, rows) quantize(x + row * inputs, q + row * inputs, row_scale + row, row_sum + row, inputs); \
    meet(team);                                                                                             \
    SHARE (block, blocks) {                                                                                 \
        float values[TOGETHER][BLOCK];                                                                      \
        const uint8_t *own = w + block * size;                                                              \
        const uint8_t *next = block + threads < blocks ? own + threads * size : own; /* most likely */      \
        for (long first = 0; first < rows; first += TOGETHER) {                                             \
            int count = rows - first < TOGETHER ? rows - first : TOGETHER;                                  \
            Quantized in = {q + first * inputs, row_sum + first};                                           \
            const void *soon = soon_after(first, next, size, own);                                          \
            block_products(in, own, scale + block * BLOCK, inputs, count, soon, values);                    \
            for (int row = 0; row < count; row++) { BODY }                                                  \
        }                                                                                                   \
    }                                                                                                       \
    meet(team);

/* out [rows, outputs] = x [rows, inputs] weight^T + bias; outputs are multiples of 64. */
void int8_part(Team *team, const bf16 *x, const Linear *linear, bf16 *out, long rows, char *work) {
    const uint8_t *w = linear->weight;
    const float *scale = linear->scale;
    long inputs = linear->inputs, outputs = linear->outputs;
    FOR_BLOCKS(bf16 *o = out + (first + row) * outputs + block * BLOCK; for (int i = 0; i < BLOCK; i++) {
        float product = values[row][i] * row_scale[first + row];
        o[i] = narrow(linear->bias ? product + widen(linear->bias[block * BLOCK + i]) : product);
    })
}

enum { CANDIDATES = 8 };

/* tokens [rows]: the first of the largest products of x with the rows of the bfloat16 matrix `exact` [outputs, inputs],
 * packed as product.h says.
 *
 * Its 8-bit form says which 8 blocks of 64 outputs hold the largest products; those are computed anew, exactly, and
 * rounded as a whole product would be. An error of 8 bits is far smaller than what lies between the first block and the
 * ninth. `outputs` are padded to blocks of 64; those from `real` on do not exist. work as above, and most
 * [rows, outputs / 64] floats. */
static void likeliest_part(Team *team, const bf16 *x, const uint8_t *w, const float *scale, const bf16 *exact,
                           int64_t *tokens, float *most, char *work, long rows, long inputs, long real) {
    long outputs = (real + BLOCK - 1) / BLOCK * BLOCK;
    FOR_BLOCKS(float best = values[row][0];
               for (int i = 1; i < BLOCK; i++) best = values[row][i] > best ? values[row][i] : best;
               most[(first + row) * blocks + block] = best;)
    SHARE (row, rows) {
        float *m = most + row * blocks;
        float best = -1e30f;
        int64_t token = 0;
        for (int c = 0; c < CANDIDATES && c < blocks; c++) {
            long block = 0;
            for (long b = 1; b < blocks; b++) block = m[b] > m[block] ? b : block;
            m[block] = -1e30f;
            long start = block * BLOCK, width = real - start < BLOCK ? real - start : BLOCK;
            const bf16 *in[TOGETHER] = {x + row * inputs}, *own = exact + start * inputs;
            float sums[TOGETHER][BLOCK];
            products(in, 1, own, inputs, inputs * LANES, (width + LANES - 1) / LANES, sums, own);
            for (long i = 0; i < width; i++) {
                float product = rounded(sums[0][i]);
                if (product > best || (product == best && start + i < token)) best = product, token = start + i;
            }
        }
        tokens[row] = token;
    }
}

void int8_likeliest(const bf16 *x, const uint8_t *w, const float *scale, const bf16 *exact, int64_t *tokens,
                    float *most, char *work, long rows, long inputs, long real, int threads) {
    Team team = {0};
#pragma omp parallel num_threads(threads)
    likeliest_part(&team, x, w, scale, exact, tokens, most, work, rows, inputs, real);
}

#else
int has_int8(void) { return 0; }
void int8_part(Team *team, const bf16 *x, const Linear *linear, bf16 *out, long rows, char *work) {}
void int8_likeliest(void) {}
#endif
