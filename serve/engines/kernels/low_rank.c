/* Low-rank products of many adapters in one batch: each row with its own adapter's weights, read where they lie (Chen
 * et al. 2023, Punica, arXiv:2310.18547). Rows of one adapter go together, so that its weights are read once for
 * several of them; adapters that no row uses are not touched at all. */
#include "decoder.h"

/* out[row] += up (down x[row]) with the weights of the row's adapter.
 *
 * x [tokens, inputs]; out [tokens, outputs]; `adapters` those of the site; module m's products go to outputs ends[m - 1]
 * to ends[m] - 1, all multiples of 16; inner [tokens, width] is working memory. */
void low_rank_part(const bf16 *x, bf16 *out, const Rows *together, long count, const LowRank *adapters,
                   const int64_t *ends, long modules, long inputs, long outputs, bf16 *inner, long width) {
#pragma omp for schedule(dynamic)
    for (long item = 0; item < count; item++) {
        const Rows *rows = together + item;
        const LowRank *adapter = adapters + rows->adapter;
        long groups = (modules * adapter->rank + LANES - 1) / LANES;
        const bf16 *in[TOGETHER];
        for (int i = 0; i < rows->count; i++) in[i] = x + rows->rows[i] * inputs;
        for (long g = 0; g < groups; g += GROUPS) {
            int some = groups - g < GROUPS ? groups - g : GROUPS;
            float sums[TOGETHER][BLOCK];
            products(in, rows->count, adapter->down + g * LANES * inputs, inputs, inputs * LANES, some, sums);
            for (int i = 0; i < rows->count; i++)
                for (int j = 0; j < some * LANES; j++) inner[rows->rows[i] * width + g * LANES + j] = narrow(sums[i][j]);
        }
    }
#pragma omp for schedule(dynamic)
    for (long item = 0; item < count * modules; item++) {
        const Rows *rows = together + item / modules;
        const LowRank *adapter = adapters + rows->adapter;
        if (!adapter->rank) continue;
        long module = item % modules, rank = adapter->rank;
        const bf16 *in[TOGETHER];
        for (int i = 0; i < rows->count; i++) in[i] = inner + rows->rows[i] * width + module * rank;
        for (long first = module ? ends[module - 1] : 0; first < ends[module]; first += BLOCK) {
            int some = ends[module] - first < BLOCK ? (ends[module] - first) / LANES : GROUPS;
            float sums[TOGETHER][BLOCK];
            products(in, rows->count, adapter->up + first * rank, rank, rank * LANES, some, sums);
            for (int i = 0; i < rows->count; i++) {
                bf16 *o = out + rows->rows[i] * outputs + first;
                for (int j = 0; j < some * LANES; j++) o[j] = narrow(widen(o[j]) + sums[i][j]);
            }
        }
    }
}

void low_rank(const bf16 *x, bf16 *out, const Rows *together, const LowRank *adapters, const int64_t *ends, bf16 *inner,
              long count, long modules, long inputs, long outputs, long width, int threads) {
#pragma omp parallel num_threads(threads)
    low_rank_part(x, out, together, count, adapters, ends, modules, inputs, outputs, inner, width);
}
