/* Linear layers in bfloat16. */
#include "decoder.h"

enum { SLICE = 48 }; /* rows that a thread takes at a time: enough to use weights again, few enough to share work */

/* out [rows, outputs] = x [rows, inputs] weight^T + bias. work: see int8_part. */
void linear_part(Team *team, const bf16 *x, const Linear *linear, bf16 *out, long rows, char *work) {
    if (linear->scale) {
        int8_part(team, x, linear, out, rows, work);
        return;
    }
    long inputs = linear->inputs, outputs = linear->outputs;
    long size = BLOCK * inputs, threads = omp_get_num_threads();
    long slices = (rows + SLICE - 1) / SLICE, blocks = (outputs + BLOCK - 1) / BLOCK;
    SHARE (item, blocks * slices) {
        long block = item / slices, begin = item % slices * SLICE;
        long end = begin + SLICE < rows ? begin + SLICE : rows;
        long width = outputs - block * BLOCK < BLOCK ? outputs - block * BLOCK : BLOCK;
        const bf16 *weight = (const bf16 *)linear->weight + block * size;
        const bf16 *next = block + threads < blocks ? weight + threads * size : weight; /* most likely */
        for (long first = begin; first < end; first += TOGETHER) {
            int count = end - first < TOGETHER ? end - first : TOGETHER;
            const bf16 *in[TOGETHER];
            float sums[TOGETHER][BLOCK];
            for (int i = 0; i < count; i++) in[i] = x + (first + i) * inputs;
            products(in, count, weight, inputs, inputs * LANES, (width + LANES - 1) / LANES, sums,
                     soon_after(first - begin, next, size * sizeof(bf16), weight));
            for (int i = 0; i < count; i++) {
                bf16 *o = out + (first + i) * outputs + block * BLOCK;
                if (linear->bias)
                    for (long j = 0; j < width; j++) sums[i][j] += widen(linear->bias[block * BLOCK + j]);
                for (long j = 0; j < width; j++) o[j] = narrow(sums[i][j]);
            }
        }
    }
    meet(team);
}

void linear(const bf16 *x, const Linear *linear, bf16 *out, char *work, long rows, int threads) {
    Team team = {0};
#pragma omp parallel num_threads(threads)
    linear_part(&team, x, linear, out, rows, work);
}
