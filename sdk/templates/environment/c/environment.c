/* A corridor: go left or right until either end; the right end pays 1. Replace it with your environment. */
#include <stdlib.h>

#include "potstill_environment.h"

/* One copy. The SDK makes as many as the host asks for. */
typedef struct {
    int64_t length, position;
} corridor;

static const potstill_option options[] = {
    POTSTILL_INTEGER_OPTION("length", "Places from end to end.", 2, 1000, 10),
    {0},
};

static const char *init(void *self, const potstill_options *given) {
    ((corridor *)self)->length = potstill_integer(given, "length");
    return NULL;
}

static potstill_spec spec(const void *self) {
    (void)self;
    potstill_spec spec = {
        .observation = potstill_box(1, 0, 1),
        .action = potstill_discrete(2),
        .max_episode_steps = 100,
        .max_return = potstill_some(1),
    };
    return spec;
}

static void observe(const corridor *c, potstill_observation observation) {
    observation.values[0] = (float)c->position / (float)c->length;
}

static void reset(void *self, potstill_rng *rng, potstill_observation observation) {
    corridor *c = self;
    c->position = 1 + (int64_t)potstill_below(rng, (uint64_t)c->length - 1);
    observe(c, observation);
}

static potstill_step step(void *self, potstill_action action, potstill_rng *rng, potstill_observation observation) {
    (void)rng;
    corridor *c = self;
    c->position += action.choice == 1 ? 1 : -1;
    observe(c, observation);
    bool won = c->position == c->length;
    potstill_step step = {.reward = won, .terminated = won || c->position == 0};
    return step;
}

/* Optional: `potstill play` shows this. */
static const char *render(const void *self, potstill_render_mode mode, potstill_frame *frame) {
    const corridor *c = self;
    if (mode != POTSTILL_LINES) return "the corridor draws text only";
    frame->text = malloc((size_t)c->length + 2);
    if (!frame->text) potstill_fail("out of memory");
    for (int64_t i = 0; i <= c->length; i++) frame->text[i] = i == c->position ? '@' : '.';
    frame->text[c->length + 1] = 0;
    return NULL;
}

const potstill_environment potstill_plugin = {
    .id = "{{id}}",
    .version = "0.1.0",
    .summary = "A corridor whose right end pays 1.",
    .options = options,
    .size = sizeof(corridor),
    .init = init,
    .spec = spec,
    .reset = reset,
    .step = step,
    .render = render,
    .plain = true, /* The struct holds no pointers, so its bytes are its snapshot. */
};
