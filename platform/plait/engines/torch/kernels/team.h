/* The threads of a parallel region share work item by item and meet at barriers.
 *
 * OpenMP's own barriers put a thread to sleep at once when the process has more threads than there are cores, as one
 * with several thread pools has; waking it takes longer than most parts of a layer. These spin for some microseconds,
 * then let others run. */
#pragma once
#include <omp.h>
#include <sched.h>
#include <stdatomic.h>

enum { SPINS = 2000 };

/* Starts as {0}. */
typedef struct {
    atomic_long next[2];
    atomic_int arrived, meetings;
} Team;

/* The next item of a loop that nobody has taken. There are two loops between two meetings: `loop` is 0 or 1. */
static inline long take(Team *team, int loop) { return atomic_fetch_add(&team->next[loop], 1); }

#define SHARE_LOOP(LOOP, ITEM, COUNT) for (long ITEM = take(team, LOOP); ITEM < (COUNT); ITEM = take(team, LOOP))
#define SHARE(ITEM, COUNT) SHARE_LOOP (0, ITEM, COUNT)

static inline void rest(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Wait for all threads. */
static inline void meet(Team *team) {
    int meetings = atomic_load(&team->meetings);
    if (atomic_fetch_add(&team->arrived, 1) + 1 == omp_get_num_threads()) {
        atomic_store(&team->next[0], 0);
        atomic_store(&team->next[1], 0);
        atomic_store(&team->arrived, 0);
        atomic_store(&team->meetings, meetings + 1);
        return;
    }
    for (int i = 0; atomic_load_explicit(&team->meetings, memory_order_acquire) == meetings; i++)
        if (i < SPINS)
            rest();
        else
            sched_yield();
}
