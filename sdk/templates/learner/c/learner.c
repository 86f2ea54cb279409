/* A perceptron with one hidden layer of random width. Replace it with your network. */
#include <math.h>
#include <stdio.h>

#include "potstill_learner.h"

/* One network of the distribution. */
typedef struct {
    uint32_t outputs, width;
} perceptron;

static const potstill_option options[] = {
    POTSTILL_INTEGER_OPTION("least", "The smallest width.", 1, 4096, 64),
    POTSTILL_INTEGER_OPTION("most", "The largest width.", 1, 4096, 128),
    {0},
};

static const char *draw(void *self, const potstill_learner_shape *shape, const potstill_options *given,
                        potstill_rng *rng) {
    perceptron *p = self;
    int64_t least = potstill_integer(given, "least"), most = potstill_integer(given, "most");
    if (least > most) return "`least` is above `most`";
    p->outputs = shape->outputs;
    p->width = (uint32_t)least + (uint32_t)potstill_below(rng, (uint64_t)(most - least) + 1);
    return NULL;
}

/* Networks with equal names must trace equal graphs. */
static void name(const void *self, char name[POTSTILL_NAME]) {
    snprintf(name, POTSTILL_NAME, "%u wide", ((const perceptron *)self)->width);
}

static potstill_tensor forward(const void *self, potstill_parameters *parameters, potstill_tensor observations) {
    const perceptron *p = self;
    potstill_init hidden = potstill_orthogonal_init(sqrt(2)), output = potstill_orthogonal_init(0.01);
    potstill_tensor x = potstill_flatten_rows(observations);
    potstill_tensor h = potstill_tanh(potstill_linear(parameters, "hidden", x, p->width, hidden, 0));
    return potstill_linear(parameters, "output", h, p->outputs, output, 1);
}

const potstill_learner potstill_plugin = {
    .id = "{{id}}",
    .version = "0.1.0",
    .summary = "A perceptron with one hidden layer whose width is drawn.",
    .options = options,
    .size = sizeof(perceptron),
    .draw = draw,
    .name = name,
    .forward = forward,
};
