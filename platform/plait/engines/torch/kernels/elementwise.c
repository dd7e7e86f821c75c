/* What stands between the matrix products of a layer: norms with the residual stream, gated activations.
 *
 * Intermediate results are rounded to bfloat16 where transformers rounds them. */
#include "decoder.h"

static void norm_row(const bf16 *x, const float *weight, float epsilon, bf16 *out, long width) {
    float sum = 0;
    for (long i = 0; i < width; i++) sum += widen(x[i]) * widen(x[i]);
    float scale = 1.0f / __builtin_sqrtf(sum / (float)width + epsilon);
    for (long i = 0; i < width; i++) out[i] = narrow(widen(x[i]) * scale * weight[i]);
}

/* out[rows, width] = RMSNorm(x) * weight */
void rms_norm_part(Team *team, const bf16 *x, const float *weight, float epsilon, bf16 *out, long rows, long width) {
    SHARE (row, rows) norm_row(x + row * width, weight, epsilon, out + row * width, width);
    meet(team);
}

/* hidden += after ? RMSNorm(output) * after : output;  normed = RMSNorm(hidden) * before.  Overwrites output. */
void add_and_norm_part(Team *team, bf16 *hidden, bf16 *output, const float *after, const float *before, float epsilon,
                       bf16 *normed, long rows, long width) {
    SHARE (row, rows) {
        bf16 *h = hidden + row * width, *o = output + row * width;
        if (after) norm_row(o, after, epsilon, o, width);
        for (long i = 0; i < width; i++) h[i] = narrow(widen(h[i]) + widen(o[i]));
        norm_row(h, before, epsilon, normed + row * width, width);
    }
    meet(team);
}

enum { GELU_TANH, SILU };

/* out[rows, width] = activation(gate) * up, where gate_up[rows, 2 * width] holds gate and up side by side */
void gated_activation_part(Team *team, const bf16 *gate_up, bf16 *out, long rows, long width, int kind) {
    SHARE (row, rows) {
        const bf16 *gate = gate_up + 2 * row * width, *up = gate + width;
        bf16 *o = out + row * width;
        if (kind == GELU_TANH) /* x * (1 + tanh(z)) / 2 = x * sigmoid(2 z) */
            for (long i = 0; i < width; i++) {
                float x = widen(gate[i]), z = 1.59576912f * (x + 0.044715f * x * x * x);
                o[i] = narrow(rounded(x / (1.0f + exponential(-z))) * widen(up[i]));
            }
        else
            for (long i = 0; i < width; i++) {
                float x = widen(gate[i]);
                o[i] = narrow(rounded(x / (1.0f + exponential(-x))) * widen(up[i]));
            }
    }
    meet(team);
}

void rms_norm(const bf16 *x, const float *weight, float epsilon, bf16 *out, long rows, long width, int threads) {
    Team team = {0};
#pragma omp parallel num_threads(threads) if (rows >= 32)
    rms_norm_part(&team, x, weight, epsilon, out, rows, width);
}

void add_and_norm(bf16 *hidden, bf16 *output, const float *after, const float *before, float epsilon, bf16 *normed,
                  long rows, long width, int threads) {
    Team team = {0};
#pragma omp parallel num_threads(threads) if (rows >= 32)
    add_and_norm_part(&team, hidden, output, after, before, epsilon, normed, rows, width);
}

void gated_activation(const bf16 *gate_up, bf16 *out, long rows, long width, int kind, int threads) {
    Team team = {0};
#pragma omp parallel num_threads(threads) if (rows >= 4)
    gated_activation_part(&team, gate_up, out, rows, width, kind);
}
