/* Low-rank products of many adapters in one batch: each row with its own adapter's weights, read where they lie (Chen
 * et al. 2023, Punica, arXiv:2310.18547). Rows of one adapter go together, so that its weights are read once for
 * several of them; adapters that no row uses are not touched at all. */
#include "decoder.h"

/* inner[row] = down x[row] for all modules, with the weights of the row's adapter; they do not meet behind it.
 *
 * x [tokens, inputs]; `adapters` are those of the site; inner [tokens, width]. */
void low_rank_down_part(Team *team, const bf16 *x, bf16 *inner, const Rows *together, long count,
                        const LowRank *adapters, long modules, long inputs, long width) {
    SHARE_LOOP (1, item, count) {
        const Rows *rows = together + item;
        const LowRank *adapter = adapters + rows->adapter;
        long groups = (modules * adapter->rank + LANES - 1) / LANES;
        const bf16 *in[TOGETHER];
        for (int i = 0; i < rows->count; i++) in[i] = x + rows->rows[i] * inputs;
        for (long g = 0; g < groups; g += GROUPS) {
            int some = groups - g < GROUPS ? groups - g : GROUPS;
            float sums[TOGETHER][BLOCK];
            const bf16 *down = adapter->down + g * LANES * inputs;
            products(in, rows->count, down, inputs, inputs * LANES, some, sums, down);
            for (int i = 0; i < rows->count; i++)
                for (int j = 0; j < some * LANES; j++)
                    inner[rows->rows[i] * width + g * LANES + j] = narrow(sums[i][j]);
        }
    }
}

/* out[row] += up inner[row]. out [tokens, outputs]; module m's products go to outputs ends[m - 1] to ends[m] - 1, all
 * multiples of 16. */
void low_rank_up_part(Team *team, const bf16 *inner, bf16 *out, const Rows *together, long count,
                      const LowRank *adapters, const int64_t *ends, long modules, long outputs, long width) {
    SHARE (item, count * modules) {
        const Rows *rows = together + item / modules;
        const LowRank *adapter = adapters + rows->adapter;
        if (!adapter->rank) continue;
        long module = item % modules, rank = adapter->rank;
        const bf16 *in[TOGETHER];
        for (int i = 0; i < rows->count; i++) in[i] = inner + rows->rows[i] * width + module * rank;
        for (long first = module ? ends[module - 1] : 0; first < ends[module]; first += BLOCK) {
            int some = ends[module] - first < BLOCK ? (ends[module] - first) / LANES : GROUPS;
            float sums[TOGETHER][BLOCK];
            const bf16 *up = adapter->up + first * rank;
            products(in, rows->count, up, rank, rank * LANES, some, sums, up);
            for (int i = 0; i < rows->count; i++) {
                bf16 *o = out + rows->rows[i] * outputs + first;
                for (int j = 0; j < some * LANES; j++) o[j] = narrow(widen(o[j]) + sums[i][j]);
            }
        }
    }
    meet(team);
}

/* Both: out[row] += up (down x[row]). */
void low_rank(const bf16 *x, bf16 *out, const Rows *together, const LowRank *adapters, const int64_t *ends, bf16 *inner,
              long count, long modules, long inputs, long outputs, long width, int threads) {
    Team team = {0};
#pragma omp parallel num_threads(threads)
    {
        low_rank_down_part(&team, x, inner, together, count, adapters, modules, inputs, width);
        meet(&team);
        low_rank_up_part(&team, inner, out, together, count, adapters, ends, modules, outputs, width);
    }
}
