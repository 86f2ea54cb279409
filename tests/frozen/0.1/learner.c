/* A linear learner, tanh of x w + b. Built against version 0.1; never edit. */
#include <stdlib.h>

#include "potstill.h"

struct potstill_architecture { uint32_t weight_shape[2], bias_shape[1]; potstill_parameter parameters[2]; };

static const char *last_error(void) { return "the learner's words"; }

static int32_t make(const potstill_space *observation, uint32_t outputs, const potstill_setting *s, uint32_t count,
                    uint64_t seed, potstill_architecture **out) {
    (void)s, (void)seed;
    if (observation->kind != POTSTILL_BOX || observation->rank != 1 || count != 0) return POTSTILL_REFUSED;
    potstill_architecture *a = calloc(1, sizeof *a);
    if (!a) return POTSTILL_FAILED;
    a->weight_shape[0] = observation->shape[0], a->weight_shape[1] = outputs, a->bias_shape[0] = outputs;
    a->parameters[0] = (potstill_parameter){"weight", a->weight_shape, 2, POTSTILL_INIT_ORTHOGONAL, 0.5, 0, 0};
    a->parameters[1] = (potstill_parameter){"bias", a->bias_shape, 1, POTSTILL_INIT_CONSTANT, 0.0, 0, 0};
    *out = a;
    return POTSTILL_OK;
}
static void destroy(potstill_architecture *a) { free(a); }
static const char *name(potstill_architecture *a) { return (void)a, "linear"; }

static int32_t parameters(potstill_architecture *a, const potstill_graph *graph, const potstill_parameter **out,
                          uint32_t *count) {
    (void)graph;
    *out = a->parameters, *count = 2;
    return POTSTILL_OK;
}

static potstill_tensor two(const potstill_graph *g, uint32_t op, potstill_tensor a, potstill_tensor b) {
    const potstill_tensor inputs[] = {a, b};
    potstill_operation operation = {.struct_size = sizeof operation, .op = op, .inputs = inputs, .input_count = 2,
                                    .line = __LINE__, .file = __FILE__};
    return g->operation(g->context, &operation);
}

static int32_t forward(potstill_architecture *a, const potstill_graph *g, const potstill_tensor *p, uint32_t count,
                       potstill_tensor x, potstill_tensor *output) {
    uint32_t dimensions[4];
    if (count != 2 || g->struct_size < sizeof *g) return POTSTILL_FAILED;
    if (g->shape(g->context, x, dimensions, 4) != 2 || dimensions[1] != a->weight_shape[0]) return POTSTILL_FAILED;
    potstill_tensor linear = two(g, POTSTILL_OP_ADD, two(g, POTSTILL_OP_MATMUL, x, p[0]), p[1]);
    potstill_operation tanh = {.struct_size = sizeof tanh, .op = POTSTILL_OP_TANH, .inputs = &linear, .input_count = 1};
    *output = g->operation(g->context, &tanh);
    return POTSTILL_OK;
}

static const potstill_learner functions = {.struct_size = sizeof functions, .make = make, .destroy = destroy,
                                           .name = name, .parameters = parameters, .forward = forward};
static const potstill_plugin_description description = {
    .magic = POTSTILL_MAGIC, .abi_major = POTSTILL_ABI_MAJOR, .abi_minor = POTSTILL_ABI_MINOR,
    .struct_size = sizeof description, .role = POTSTILL_LEARNER, .id = "frozen/linear-v1", .version = "0.1.0",
    .summary = "One layer.", .functions = &functions, .last_error = last_error};

POTSTILL_EXPORT const potstill_plugin_description *potstill_plugin(const potstill_host *host) {
    return host->magic == POTSTILL_MAGIC ? &description : NULL;
}
