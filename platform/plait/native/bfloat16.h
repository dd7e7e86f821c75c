/* bfloat16 in memory, float in registers. Plain loops over these vectorise on any CPU. */
#pragma once
#include <stdint.h>
#include <string.h>

typedef uint16_t bf16;

static inline float widen(bf16 x) {
    uint32_t bits = (uint32_t)x << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

/* To the nearest, ties to even, as torch rounds. */
static inline bf16 narrow(float f) {
    uint32_t bits;
    memcpy(&bits, &f, 4);
    return (bf16)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

static inline float rounded(float f) { return widen(narrow(f)); }

/* NaN and infinities. We compile as if there were none, so that loops vectorise: arithmetic passes them on, comparisons
 * and `exponential` lose them. Where they would be lost, the bits tell. */
enum { INFINITE = 0x7f800000, INFINITE_BF16 = 0x7f80 };

/* The bits of |f|: in the order of |f|, NaN largest. */
static inline uint32_t magnitude(float f) {
    uint32_t bits;
    memcpy(&bits, &f, 4);
    return bits & 0x7fffffff;
}

static inline float not_a_number(void) { return widen(0x7fc0); }

/* e^x within 2 units in the last place of float, without a call, so that loops with it vectorise. */
static inline float exponential(float x) {
    x = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
    float n = __builtin_floorf(x * 1.44269504f + 0.5f);
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    int32_t bits = ((int32_t)n + 127) << 23;
    float scale;
    memcpy(&scale, &bits, 4);
    return p * scale;
}
