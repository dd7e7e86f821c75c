/* All layers of a step in one parallel region: between two parts the threads only pass a barrier, and Python, which
 * holds the interpreter's lock between calls, is called once. */
#include "decoder.h"

enum { MOST_MODULES = 3 };

/* A projection and what adapters add to it. */
typedef struct {
    Linear linear;
    int64_t modules, ends[MOST_MODULES]; /* of their outputs */
    const LowRank *adapters;             /* by number; null without any in the step */
} Site;

typedef struct {
    Site qkv, out, gate_up, down;
    Attention attention;
    const float *after_attention, *before_mlp, *after_mlp, *following; /* norms; those after may be null */
    const bf16 *cos, *sin;                                             /* [tokens, dim] of this step */
    bf16 *keys, *values;
    int64_t activation;
} Layer;

typedef struct {
    int64_t tokens, spans_count, block, rows_count, inner_width;
    const Span *spans;
    const int64_t *slots;
    const Rows *rows; /* those that have low-rank products */
} Step;

/* Working memory: [tokens, …] of what its name says, and more for the parts. */
typedef struct {
    bf16 *hidden, *normed, *qkv, *mixed, *output, *gate_up, *gated, *inner, *attention;
    char *int8;
} Memory;

static void project(Team *team, const Site *site, const bf16 *x, bf16 *out, const Step *step, const Memory *memory) {
    const Linear *linear = &site->linear;
    long count = site->adapters ? step->rows_count : 0;
    if (count)
        low_rank_down_part(team, x, memory->inner, step->rows, count, site->adapters, site->modules, linear->inputs,
                           step->inner_width);
    linear_part(team, x, linear, out, step->tokens, memory->int8); /* they meet behind both */
    if (count)
        low_rank_up_part(team, memory->inner, out, step->rows, count, site->adapters, site->ends, site->modules,
                         linear->outputs, step->inner_width);
}

/* memory->hidden in and out; memory->normed: what comes out, normed by the last layer's `following`. */
void decode(const Layer *layers, const Step *step, const Memory *memory, const float *first_norm, long count,
            long width, int threads) {
    const Memory *m = memory;
    long tokens = step->tokens;
    Team together = {0}, *team = &together;
#pragma omp parallel num_threads(threads)
    {
        rms_norm_part(team, m->hidden, first_norm, (float)layers->attention.epsilon, m->normed, tokens, width);
        for (const Layer *layer = layers; layer < layers + count; layer++) {
            const Attention *attention = &layer->attention;
            float epsilon = (float)attention->epsilon;
            project(team, &layer->qkv, m->normed, m->qkv, step, m);
            rotate_part(team, m->qkv, attention, layer->cos, layer->sin, step->slots, layer->keys, layer->values,
                        tokens);
            attend_part(team, m->qkv, attention, layer->keys, layer->values, step->spans, step->spans_count,
                        step->block, m->mixed, m->attention);
            project(team, &layer->out, m->mixed, m->output, step, m);
            add_and_norm_part(team, m->hidden, m->output, layer->after_attention, layer->before_mlp, epsilon, m->normed,
                              tokens, width);
            project(team, &layer->gate_up, m->normed, m->gate_up, step, m);
            gated_activation_part(team, m->gate_up, m->gated, tokens, layer->down.linear.inputs, layer->activation);
            project(team, &layer->down, m->gated, m->output, step, m);
            add_and_norm_part(team, m->hidden, m->output, layer->after_mlp, layer->following, epsilon, m->normed,
                              tokens, width);
        }
    }
}
