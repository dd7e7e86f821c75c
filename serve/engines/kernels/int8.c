/* Products of 8-bit integers: half the bytes of bfloat16 and twice its arithmetic (AVX-512 VNNI).
 *
 * Weights [outputs, inputs] have a scale for each output, activations one for each row (Dettmers et al. 2022, LLM.int8,
 * arXiv:2208.07339, without its outliers). They are packed as [outputs / 16][inputs / 4][16][4] bytes, each 128 above
 * its value: the instruction multiplies an unsigned by a signed byte; 128 times a row's sum is taken off again. */
#include "decoder.h"

enum { MOST_ROWS = 16 };

#if defined(__AVX512VNNI__) && defined(__AVX512F__)
#include <immintrin.h>

int has_int8(void) { return 1; }

typedef struct {
    const int8_t *x; /* [rows, inputs] */
    const float *scale;
    const int32_t *sum;
} Quantized;

/* A row's values in bytes scaled by the largest, and their sum. */
static void quantize(const bf16 *x, int8_t *q, float *scale, int32_t *sum, long inputs) {
    float most = 1e-12f;
    for (long i = 0; i < inputs; i++) {
        float a = __builtin_fabsf(widen(x[i]));
        most = a > most ? a : most;
    }
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

/* One tile: sums[row][group] of `rows` rows with 16 * `groups` outputs. Both are constants where it is inlined. */
static inline __attribute__((always_inline)) void tile(const int8_t *x, const uint8_t *w, long inputs, const int rows,
                                                       const int groups, __m512i sums[MOST_ROWS]) {
    __m512i acc[MOST_ROWS];
    for (int i = 0; i < rows * groups; i++) acc[i] = _mm512_setzero_si512();
    for (long k = 0; k < inputs; k += 4)
        for (int g = 0; g < groups; g++) {
            __m512i weights = _mm512_loadu_si512(w + (g * inputs + k) * LANES);
            for (int row = 0; row < rows; row++) {
                int32_t four;
                memcpy(&four, x + row * inputs + k, 4);
                acc[row * groups + g] = _mm512_dpbusd_epi32(acc[row * groups + g], weights, _mm512_set1_epi32(four));
            }
        }
    for (int i = 0; i < rows * groups; i++) sums[i] = acc[i];
}

/* float sums [rows][64] of a block of 64 outputs, scaled by the outputs' scales but not yet by the rows'. */
static void block_products(Quantized x, const uint8_t *w, const float *scale, long inputs, int rows,
                           float out[MOST_ROWS][BLOCK]) {
    __m512i sums[MOST_ROWS];
#define TILES(ROWS, GROUPS)                                                                              \
    for (int g = 0; g < BLOCK / LANES; g += GROUPS) {                                                    \
        tile(x.x, w + g * LANES * inputs, inputs, ROWS, GROUPS, sums);                                   \
        for (int row = 0; row < ROWS; row++)                                                             \
            for (int i = 0; i < GROUPS; i++) {                                                           \
                __m512i own = _mm512_sub_epi32(sums[row * GROUPS + i], _mm512_set1_epi32(128 * x.sum[row])); \
                __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(own), _mm512_loadu_ps(scale + (g + i) * LANES)); \
                _mm512_storeu_ps(out[row] + (g + i) * LANES, scaled);                                    \
            }                                                                                            \
    }
    if (rows > 8) { TILES(16, 1) }
    else if (rows > 4) { TILES(8, 2) }
    else if (rows > 2) { TILES(4, 4) }
    else if (rows == 2) { TILES(2, 4) }
    else { TILES(1, 4) }
#undef TILES
}

static long padded(long rows) {
    return rows > 8 ? (rows + 15) / 16 * 16 : rows > 4 ? 8 : rows > 2 ? 4 : rows;
}

/* Common frame of a part: quantises x into the working memory, then runs BODY for each block of 64 outputs and 16 rows.
 * work: (inputs + 8) bytes for each of the rows rounded up to 16. */
#define FOR_BLOCKS(BODY)                                                                                   \
    long all = padded(rows);                                                                               \
    float *row_scale = (float *)work;                                                                      \
    int32_t *row_sum = (int32_t *)(row_scale + all);                                                       \
    int8_t *q = (int8_t *)(row_sum + all);                                                                 \
    _Pragma("omp for")                                                                                     \
    for (long row = 0; row < all; row++) {                                                                 \
        if (row < rows) quantize(x + row * inputs, q + row * inputs, row_scale + row, row_sum + row, inputs); \
        else row_sum[row] = 0, memset(q + row * inputs, 0, inputs);                                        \
    }                                                                                                      \
    _Pragma("omp for schedule(dynamic)")                                                                   \
    for (long block = 0; block < outputs / BLOCK; block++) {                                               \
        float values[MOST_ROWS][BLOCK];                                                                    \
        const float *scales = scale + block * BLOCK;                                                       \
        for (long first = 0; first < rows; first += MOST_ROWS) {                                           \
            int count = rows - first < MOST_ROWS ? rows - first : MOST_ROWS;                               \
            Quantized in = {q + first * inputs, row_scale + first, row_sum + first};                       \
            block_products(in, w + block * BLOCK * inputs, scales, inputs, count, values);                 \
            for (int row = 0; row < count; row++) { BODY }                                                 \
        }                                                                                                  \
    }

/* out [rows, outputs] = x [rows, inputs] weight^T + bias; outputs are multiples of 64. */
void int8_part(const bf16 *x, const Linear *linear, bf16 *out, long rows, char *work) {
    const uint8_t *w = linear->weight;
    const float *scale = linear->scale;
    long inputs = linear->inputs, outputs = linear->outputs;
    FOR_BLOCKS(bf16 *o = out + (first + row) * outputs + block * BLOCK;
               for (int i = 0; i < BLOCK; i++) {
                   float product = values[row][i] * row_scale[first + row];
                   o[i] = narrow(linear->bias ? product + widen(linear->bias[block * BLOCK + i]) : product);
               })
}

enum { CANDIDATES = 8 };

/* tokens [rows]: the first of the largest products of x with the rows of the bfloat16 matrix `exact` [outputs, inputs].
 *
 * Its 8-bit form says which 8 blocks of 64 outputs hold the largest products; those are computed anew, exactly, and
 * rounded as a whole product would be. An error of 8 bits is far smaller than what lies between the first block and the
 * ninth. `outputs` are padded to blocks of 64; those from `real` on do not exist. work as above, and most
 * [rows, outputs / 64] floats. */
static void likeliest_part(const bf16 *x, const uint8_t *w, const float *scale, const bf16 *exact, int64_t *tokens,
                           float *most, char *work, long rows, long inputs, long real) {
    long outputs = (real + BLOCK - 1) / BLOCK * BLOCK, blocks = outputs / BLOCK;
    FOR_BLOCKS(float best = values[row][0];
               for (int i = 1; i < BLOCK; i++) best = values[row][i] > best ? values[row][i] : best;
               most[(first + row) * blocks + block] = best;)
#pragma omp for schedule(dynamic)
    for (long row = 0; row < rows; row++) {
        float *m = most + row * blocks;
        float best = -1e30f;
        int64_t token = 0;
        for (int c = 0; c < CANDIDATES && c < blocks; c++) {
            long block = 0;
            for (long b = 1; b < blocks; b++) block = m[b] > m[block] ? b : block;
            m[block] = -1e30f;
            for (long o = block * BLOCK; o < (block + 1) * BLOCK && o < real; o++) {
                float product = 0;
                for (long i = 0; i < inputs; i++) product += widen(x[row * inputs + i]) * widen(exact[o * inputs + i]);
                product = rounded(product);
                if (product > best || (product == best && o < token)) best = product, token = o;
            }
        }
        tokens[row] = token;
    }
}

void int8_likeliest(const bf16 *x, const uint8_t *w, const float *scale, const bf16 *exact, int64_t *tokens, float *most,
                    char *work, long rows, long inputs, long real, int threads) {
#pragma omp parallel num_threads(threads)
    likeliest_part(x, w, scale, exact, tokens, most, work, rows, inputs, real);
}

#else
int has_int8(void) { return 0; }
void int8_part(const bf16 *x, const Linear *linear, bf16 *out, long rows, char *work) {}
void int8_likeliest(void) {}
#endif
