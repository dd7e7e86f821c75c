/* Low-rank products of many adapters in one batch: each row with its own adapter's weights, read where they lie (Chen
 * et al. 2023, Punica, arXiv:2310.18547). Rows of one adapter go together, so that its weights are read once for
 * several of them; adapters that no row uses are not touched at all. */
#include "bfloat16.h"

enum { TOGETHER = 4, TILE = 256 };

/* Rows of one adapter: order[first] to order[first + count - 1]. */
typedef struct {
    int64_t first, count, rank;
    const bf16 *down; /* [modules, rank, inputs] */
    const bf16 *up;   /* [rank, outputs] */
} Group;

static inline __attribute__((always_inline)) void dots(const bf16 *const *x, const bf16 *w, long inputs, const int rows,
                                                       float *const *y, long at) {
    float sum[TOGETHER] = {0};
    for (long i = 0; i < inputs; i++) {
        float weight = widen(w[i]);
        for (int row = 0; row < rows; row++) sum[row] += widen(x[row][i]) * weight;
    }
    for (int row = 0; row < rows; row++) y[row][at] = sum[row];
}

static inline __attribute__((always_inline)) void add_scaled(float sum[][TILE], const bf16 *w, long first, long last,
                                                             const int rows, float *const *y, long at) {
    for (long i = first; i < last; i++) {
        float weight = widen(w[i]);
        for (int row = 0; row < rows; row++) sum[row][i] += y[row][at] * weight;
    }
}

#define FOR_COUNT(COUNT, CALL)                                                                   \
    switch (COUNT) {                                                                             \
    case 1: { enum { N = 1 }; CALL; } break;                                                     \
    case 2: { enum { N = 2 }; CALL; } break;                                                     \
    case 3: { enum { N = 3 }; CALL; } break;                                                     \
    default: { enum { N = 4 }; CALL; }                                                           \
    }

/* out[row] += up (down x[row]) with the weights of the row's group.
 *
 * x [rows, inputs]; out [rows, outputs]; module m's products go to outputs bounds[m] to bounds[m + 1]; products
 * [rows, modules, most_rank] is working memory. Groups have at most four rows. */
void low_rank(const bf16 *x, bf16 *out, const Group *groups, const int64_t *order, const int64_t *bounds,
              float *products, long count, long inputs, long outputs, long modules, long most_rank, int threads) {
    long tiles = (outputs + TILE - 1) / TILE;
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (long work = 0; work < count * modules; work++) {
            const Group *group = groups + work / modules;
            long module = work % modules;
            const bf16 *in[TOGETHER];
            float *y[TOGETHER];
            for (long i = 0; i < group->count; i++) {
                long row = order[group->first + i];
                in[i] = x + row * inputs, y[i] = products + (row * modules + module) * most_rank;
            }
            const bf16 *w = group->down + module * group->rank * inputs;
            for (long r = 0; r < group->rank; r++, w += inputs)
                FOR_COUNT(group->count, dots(in, w, inputs, N, y, r))
        }
#pragma omp for schedule(static)
        for (long work = 0; work < count * tiles; work++) {
            const Group *group = groups + work / tiles;
            long begin = work % tiles * TILE, end = begin + TILE < outputs ? begin + TILE : outputs;
            float sum[TOGETHER][TILE];
            bf16 *o[TOGETHER];
            for (long i = 0; i < group->count; i++) {
                o[i] = out + order[group->first + i] * outputs + begin;
                for (long j = 0; j < end - begin; j++) sum[i][j] = widen(o[i][j]);
            }
            for (long m = 0; m < modules; m++) {
                long first = bounds[m] > begin ? bounds[m] : begin, last = bounds[m + 1] < end ? bounds[m + 1] : end;
                if (first >= last) continue;
                float *y[TOGETHER];
                for (long i = 0; i < group->count; i++)
                    y[i] = products + (order[group->first + i] * modules + m) * most_rank;
                for (long r = 0; r < group->rank; r++) {
                    const bf16 *w = group->up + r * outputs + begin;
                    FOR_COUNT(group->count, add_scaled(sum, w, first - begin, last - begin, N, y, r))
                }
            }
            for (long i = 0; i < group->count; i++)
                for (long j = 0; j < end - begin; j++) o[i][j] = narrow(sum[i][j]);
        }
    }
}
