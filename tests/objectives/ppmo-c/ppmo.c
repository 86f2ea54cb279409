/* PPMO (Wilhelm & Ventura 2025) in C. The tests compare it with `plugins/ppmo` in Rust. */
#include "potstill_objective.h"

typedef struct {
    double clip, entropy;
    bool normalize_advantages;
} ppmo;

static const potstill_option options[] = {
    POTSTILL_NUMBER_OPTION("clip", "How far the ratio may leave 1 and still be followed.", 0, 1, 0.2),
    POTSTILL_NUMBER_OPTION("entropy", "Weight of the entropy bonus.", 0, 1e3, 0.01),
    POTSTILL_BOOLEAN_OPTION("normalize-advantages", "To mean 0 and deviation 1 in each minibatch.", true),
    {0},
};

static const char *init(void *self, const potstill_task *task, const potstill_options *given) {
    (void)task;
    ppmo *p = self;
    p->clip = potstill_number(given, "clip");
    p->entropy = potstill_number(given, "entropy");
    p->normalize_advantages = potstill_boolean(given, "normalize-advantages");
    return NULL;
}

static potstill_tensor outer(const void *self, potstill_outer *outer) {
    const ppmo *p = self;
    potstill_tensor advantages = potstill_column(outer, "advantages");
    if (p->normalize_advantages) advantages = potstill_normalized(advantages);
    return potstill_clipped_surrogate(outer, advantages, p->clip, p->entropy);
}

const potstill_objective potstill_plugin = {
    .id = "test/ppmo-c-v1",
    .version = "0.1.0",
    .summary = "PPMO in C, to compare with the built-in one.",
    .options = options,
    .columns = {"observations", "actions", "log_probs", "advantages"},
    .size = sizeof(ppmo),
    .init = init,
    .outer = outer,
};
