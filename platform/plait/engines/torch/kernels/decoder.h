/* What the parts of a decoder share. A part is work that the threads of a team divide among themselves; they meet
 * behind it unless it says otherwise. */
#pragma once
#include "product.h"
#include "team.h"

/* Columns are 64-bit integers and addresses only: Python fills these from tensors. */
typedef struct {
    const void *weight; /* packed: bfloat16 as product.h says, or bytes as int8.c says */
    const float *scale; /* of the outputs, for bytes; null says bfloat16 */
    const bf16 *bias;   /* or null */
    int64_t inputs, outputs;
} Linear;

/* Tokens of one sequence in a step: packed tokens first to first + length - 1, at positions start and after. */
typedef struct {
    int64_t first, length, start;
    const int64_t *blocks; /* numbers of all blocks of the sequence */
} Span;

/* Up to six packed tokens of one adapter. */
typedef struct {
    int64_t adapter, count, rows[TOGETHER];
} Rows;

/* An adapter's product at a site: down is packed as [modules * rank, inputs], up as [outputs, rank]; rank is even, and
 * 0 where the adapter does nothing. */
typedef struct {
    int64_t rank;
    const bf16 *down, *up;
} LowRank;

typedef struct {
    int64_t heads, kv_heads, dim;
    const float *norm; /* [heads + kv_heads, dim], or null */
    double epsilon, scaling;
    int64_t window; /* positions that a query reads, its own among them; 0 is all */
} Attention;

void linear_part(Team *team, const bf16 *x, const Linear *linear, bf16 *out, long rows, char *work);
void int8_part(Team *team, const bf16 *x, const Linear *linear, bf16 *out, long rows, char *work);
void low_rank_down_part(Team *team, const bf16 *x, bf16 *inner, const Rows *together, long count,
                        const LowRank *adapters, long modules, long inputs, long width);
void low_rank_up_part(Team *team, const bf16 *inner, bf16 *out, const Rows *together, long count,
                      const LowRank *adapters, const int64_t *ends, long modules, long outputs, long width);
void rms_norm_part(Team *team, const bf16 *x, const float *weight, float epsilon, bf16 *out, long rows, long width);
void add_and_norm_part(Team *team, bf16 *hidden, bf16 *output, const float *after, const float *before, float epsilon,
                       bf16 *normed, long rows, long width);
void gated_activation_part(Team *team, const bf16 *gate_up, bf16 *out, long rows, long width, int kind);
void rotate_part(Team *team, bf16 *qkv, const Attention *attention, const bf16 *cos, const bf16 *sin,
                 const int64_t *slots, bf16 *keys, bf16 *values, long tokens);
void attend_part(Team *team, const bf16 *qkv, const Attention *attention, const bf16 *keys, const bf16 *values,
                 const Span *spans, long count, long block, bf16 *out, bf16 *work);
