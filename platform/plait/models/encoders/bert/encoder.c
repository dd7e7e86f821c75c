/* BERT's encoder (Devlin et al. 2018, arXiv:1810.04805), in 8-bit integers but for attention and its values, on which
 * vectors depend most: these are in bfloat16.
 *
 * Texts are packed without padding, and each is taken through all layers by one thread: what it works on stays in the
 * cache of its core, and threads do not wait for each other. */
#include <omp.h>

#include "attention.h"
#include "int8_groups.h"

typedef struct {
    const float *weight, *bias;
} Norm;

typedef struct {
    Linear query_key, mixed, up, down;
    const bf16 *value; /* packed as product.h says */
    const float *value_bias;
    Norm after_mixed, after_down;
} Layer;

typedef struct {
    const float *words, *positions; /* [vocabulary, width]; [longest, width], the type of tokens added */
    Norm norm;
    const Layer *layers;
    int64_t layer_count, width, inner, heads;
    double epsilon;
} Encoder;

/* A thread's working memory: [rows, …] of what its name says, and what attention needs for one head. */
typedef struct {
    float *x, *mixed;
    bf16 *narrowed, *qkv;
    Quantized input, inner;
    HeadMemory head;
} Memory;

/* Of all `rows` of X: runs BODY for `row` of `count` rows from `first` on and their `values`, 64 outputs from 64 * `block` on. */
#define FOR_PRODUCTS(X, LINEAR, BODY)                                      \
    for (long block = 0; block < (LINEAR)->outputs / BLOCK; block++)       \
        for (long first = 0; first < rows; first += TOGETHER) {            \
            int count = rows - first < TOGETHER ? rows - first : TOGETHER; \
            float values[TOGETHER][BLOCK];                                 \
            int8_products(X, first, count, LINEAR, block, values);         \
            for (int row = 0; row < count; row++) { BODY }                 \
        }

static void project_query_key(const Memory *m, long rows, const Linear *linear) {
    long stride = linear->outputs / 2 * 3;
    FOR_PRODUCTS(m->input, linear, bf16 *o = m->qkv + (first + row) * stride + block * BLOCK;
                 for (int i = 0; i < BLOCK; i++) o[i] = narrow(values[row][i]);)
}

static void project_value(const Memory *m, long rows, long width, const Layer *layer) {
    for (long block = 0; block < width / BLOCK; block++)
        for (long first = 0; first < rows; first += TOGETHER) {
            int count = rows - first < TOGETHER ? rows - first : TOGETHER;
            const bf16 *in[TOGETHER], *w = layer->value + block * BLOCK * width;
            float sums[TOGETHER][BLOCK];
            for (int i = 0; i < count; i++) in[i] = m->narrowed + (first + i) * width;
            products(in, count, w, width, width * LANES, GROUPS, sums, w);
            for (int i = 0; i < count; i++) {
                bf16 *o = m->qkv + ((first + i) * 3 + 2) * width + block * BLOCK;
                for (int j = 0; j < BLOCK; j++) o[j] = narrow(sums[i][j] + layer->value_bias[block * BLOCK + j]);
            }
        }
}

static void add_product(Quantized x, long rows, const Linear *linear, float *to) {
    FOR_PRODUCTS(x, linear, float *o = to + (first + row) * linear->outputs + block * BLOCK;
                 for (int i = 0; i < BLOCK; i++) o[i] += values[row][i];)
}

/* x (1 + erf(x / sqrt 2)) / 2 within 2.4e-4, a fiftieth of a step of the bytes that it becomes: a polynomial in x / 4,
 * fitted by least squares at Chebyshev's points, 1 at its end. */
static inline float gelu(float x) {
    float z = x * 0.25f;
    z = z < -1.0f ? -1.0f : z > 1.0f ? 1.0f : z;
    float t = z * z, p = 3.03964615f;
    p = p * t + -13.3698235f;
    p = p * t + 25.1270466f;
    p = p * t + -26.6986256f;
    p = p * t + 17.9914742f;
    p = p * t + -8.2736721f;
    p = p * t + 3.18395424f;
    return 0.5f * x * (1.0f + z * p);
}

static void project_up(const Memory *m, long rows, const Linear *linear) {
    FOR_PRODUCTS(m->input, linear, float *v = values[row]; for (int i = 0; i < BLOCK; i++) v[i] = gelu(v[i]);
                 quantize_group(v, m->inner, first + row, block);)
}

/* x = LayerNorm(x), and as input of the next products. */
static void normalize(const Memory *m, long rows, long width, Norm norm, float epsilon) {
    for (long row = 0; row < rows; row++) {
        float *x = m->x + row * width, sum = 0, squares = 0;
        for (long i = 0; i < width; i++) sum += x[i];
        float mean = sum / (float)width;
        for (long i = 0; i < width; i++) squares += (x[i] - mean) * (x[i] - mean);
        float by = 1.0f / __builtin_sqrtf(squares / (float)width + epsilon);
        for (long i = 0; i < width; i++) x[i] = (x[i] - mean) * by * norm.weight[i] + norm.bias[i];
        for (long i = 0; i < width; i++) m->narrowed[row * width + i] = narrow(x[i]);
        quantize_row(x, m->input, row);
    }
}

/* Leaves the tokens' vectors in m->x. */
static void through_all_layers(const Encoder *e, const int32_t *tokens, const int64_t *starts, long texts,
                               const Memory *m) {
    long width = e->width, begin = starts[0], rows = starts[texts] - begin;
    float epsilon = (float)e->epsilon;
    for (long text = 0; text < texts; text++)
        for (long at = starts[text]; at < starts[text + 1]; at++) {
            const float *word = e->words + tokens[at] * width, *position = e->positions + (at - starts[text]) * width;
            for (long i = 0; i < width; i++) m->x[(at - begin) * width + i] = word[i] + position[i];
        }
    normalize(m, rows, width, e->norm, epsilon);
    for (const Layer *layer = e->layers; layer < e->layers + e->layer_count; layer++) {
        project_query_key(m, rows, &layer->query_key);
        project_value(m, rows, width, layer);
        for (long text = 0; text < texts; text++) {
            long from = starts[text] - begin, length = starts[text + 1] - starts[text];
            attend(m->qkv + from * 3 * width, m->mixed + from * width, length, e->heads, width / e->heads, &m->head);
        }
        for (long row = 0; row < rows; row++) quantize_row(m->mixed + row * width, m->input, row);
        add_product(m->input, rows, &layer->mixed, m->x);
        normalize(m, rows, width, layer->after_mixed, epsilon);
        project_up(m, rows, &layer->up);
        add_product(m->inner, rows, &layer->down, m->x);
        normalize(m, rows, width, layer->after_down, epsilon);
    }
}

static void *piece(char *memory, long *used, long bytes) {
    void *found = memory + *used;
    *used += up_to(bytes, 64);
    return found;
}

static Quantized quantized_piece(char *memory, long *used, long rows, long inputs) {
    Quantized q = {.inputs = inputs};
    q.q = piece(memory, used, rows * inputs);
    q.scale = piece(memory, used, rows * (inputs / GROUP) * sizeof(float));
    q.low = piece(memory, used, rows * (inputs / GROUP) * sizeof(float));
    return q;
}

/* Lays a thread's memory out; returns how many bytes it takes. */
static long lay_out(const Encoder *e, char *memory, long rows, long longest, Memory *m) {
    long width = e->width, dim = width / e->heads, padded = up_to(longest, LANES), used = 0;
    m->x = piece(memory, &used, rows * width * sizeof(float));
    m->mixed = piece(memory, &used, rows * width * sizeof(float));
    m->narrowed = piece(memory, &used, rows * width * sizeof(bf16));
    m->qkv = piece(memory, &used, rows * 3 * width * sizeof(bf16));
    m->input = quantized_piece(memory, &used, rows, width);
    m->inner = quantized_piece(memory, &used, rows, e->inner);
    m->head.keys = piece(memory, &used, padded * dim * sizeof(bf16));
    m->head.values = piece(memory, &used, padded * dim * sizeof(bf16));
    m->head.shares = piece(memory, &used, TOGETHER * padded * sizeof(bf16));
    m->head.scores = piece(memory, &used, TOGETHER * up_to(longest, BLOCK) * sizeof(float));
    return used;
}

/* Bytes of working memory of a thread, for items of up to `rows` tokens with texts of up to `longest`. */
long working_bytes(const Encoder *e, long rows, long longest) {
    char nothing;
    Memory m;
    return lay_out(e, &nothing, rows, longest, &m);
}

enum { TOKENS, MEAN, FIRST };

/* out: the vectors [texts, width] of texts, or [tokens, width] of their tokens.
 *
 * Text i is tokens[starts[i]] to tokens[starts[i + 1] - 1]; the texts of an item, items[i] to items[i + 1] - 1, go
 * through the layers together. work: working_bytes for each thread. */
void encode(const Encoder *e, const int32_t *tokens, const int64_t *starts, const int64_t *items, long count,
            long rows, long longest, int pooling, float *out, char *work, int threads) {
    long bytes = working_bytes(e, rows, longest), width = e->width;
#pragma omp parallel num_threads(threads)
    {
        Memory m;
        lay_out(e, work + omp_get_thread_num() * bytes, rows, longest, &m);
#pragma omp for schedule(dynamic, 1)
        for (long item = 0; item < count; item++) {
            const int64_t *own = starts + items[item];
            long texts = items[item + 1] - items[item];
            through_all_layers(e, tokens, own, texts, &m);
            if (pooling == TOKENS) {
                memcpy(out + own[0] * width, m.x, (own[texts] - own[0]) * width * sizeof(float));
                continue;
            }
            for (long text = 0; text < texts; text++) {
                float *vector = out + (items[item] + text) * width;
                const float *x = m.x + (own[text] - own[0]) * width;
                long length = own[text + 1] - own[text];
                if (pooling == FIRST && length > 1) length = 1;
                for (long i = 0; i < width; i++) vector[i] = 0;
                for (long at = 0; at < length; at++)
                    for (long i = 0; i < width; i++) vector[i] += x[at * width + i] / (float)length;
            }
        }
    }
}
