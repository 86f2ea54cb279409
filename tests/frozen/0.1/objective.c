/* REINFORCE with one step of gradient descent inside. Built against version 0.1; never edit. */
#include <stdlib.h>

#include "potstill.h"

struct potstill_instance { uint32_t x[9], y[2]; potstill_meta_parameter theta[3]; potstill_metric metrics[1]; };

static const char *last_error(void) { return "the objective's words"; }

static int32_t make(const potstill_task *task, const potstill_setting *s, uint32_t count, potstill_instance **out) {
    (void)s;
    if (task->struct_size < sizeof *task || task->observation.rank > 8 || count != 0) return POTSTILL_REFUSED;
    potstill_instance *o = calloc(1, sizeof *o);
    if (!o) return POTSTILL_FAILED;
    o->x[0] = o->y[0] = task->instances, o->y[1] = task->outputs;
    for (uint32_t i = 0; i < task->observation.rank; i++) o->x[i + 1] = task->observation.shape[i];
    o->theta[0] = (potstill_meta_parameter){"x", o->x, task->observation.rank + 1, POTSTILL_META_NORMAL, 1.0, 1, 0};
    o->theta[1] = (potstill_meta_parameter){"y", o->y, 2, POTSTILL_META_NORMAL, 1.0, 1, 0};
    o->theta[2] = (potstill_meta_parameter){"inner_lr", NULL, 0, POTSTILL_META_CONSTANT, 0.02, 1, 1};
    *out = o;
    return POTSTILL_OK;
}
static void destroy(potstill_instance *o) { free(o); }
static uint32_t data(potstill_instance *o) { return (void)o, POTSTILL_ROLLOUTS; }
static int32_t meta_parameters(potstill_instance *o, const potstill_meta_parameter **out, uint32_t *count) {
    *out = o->theta, *count = 3;
    return POTSTILL_OK;
}
static int32_t columns(potstill_instance *o, const char *const **names, uint32_t *count) {
    static const char *const list[] = {"observations", "actions", "advantages"};
    (void)o;
    *names = list, *count = 3;
    return POTSTILL_OK;
}

static potstill_tensor apply(const potstill_graph *g, uint32_t op, potstill_tensor a, potstill_tensor b) {
    const potstill_tensor inputs[] = {a, b};
    const double keep[] = {0.0};
    potstill_operation operation = {.struct_size = sizeof operation, .op = op, .inputs = inputs,
                                    .input_count = b ? 2 : 1, .line = __LINE__, .file = __FILE__};
    if (op == POTSTILL_OP_MEAN) operation.numbers = keep, operation.number_count = 1;
    return g->operation(g->context, &operation);
}

static int32_t inner(potstill_instance *o, const potstill_network *n, const potstill_tensor *theta, uint32_t parts,
                     const potstill_tensor *fresh, uint32_t count, potstill_tensor *taught) {
    const potstill_graph *g = n->graph;
    (void)o;
    if (parts != 3 || n->struct_size < sizeof *n) return POTSTILL_FAILED;
    potstill_tensor error = apply(g, POTSTILL_OP_SUBTRACT, n->apply(n->context, fresh, count, theta[0]), theta[1]);
    potstill_tensor loss = apply(g, POTSTILL_OP_MEAN, apply(g, POTSTILL_OP_SQUARE, error, 0), 0);
    g->gradients(g->context, loss, fresh, count, taught);
    for (uint32_t i = 0; i < count; i++) {
        potstill_tensor change = apply(g, POTSTILL_OP_MULTIPLY, theta[2], taught[i]);
        taught[i] = apply(g, POTSTILL_OP_SUBTRACT, fresh[i], change);
    }
    return POTSTILL_OK;
}

static int32_t outer(potstill_instance *o, const potstill_network *n, potstill_outer *t) {
    const potstill_graph *g = n->graph;
    if (t->struct_size < sizeof *t || t->column_count != 3) return POTSTILL_FAILED;
    potstill_tensor outputs = n->apply(n->context, t->taught, t->parameter_count, t->columns[0]);
    potstill_tensor likely = n->log_probability(n->context, outputs, t->columns[1]);
    potstill_tensor gain = apply(g, POTSTILL_OP_MEAN, apply(g, POTSTILL_OP_MULTIPLY, likely, t->columns[2]), 0);
    t->loss = apply(g, POTSTILL_OP_NEGATE, gain, 0);
    potstill_tensor entropy = n->entropy(n->context, outputs);
    o->metrics[0] = (potstill_metric){"loss/entropy", apply(g, POTSTILL_OP_MEAN, entropy, 0), 0};
    t->metrics = o->metrics, t->metric_count = 1;
    return POTSTILL_OK;
}

static const potstill_objective functions = {
    .struct_size = sizeof functions, .make = make, .destroy = destroy, .data = data,
    .meta_parameters = meta_parameters, .columns = columns, .inner = inner, .outer = outer};
static const potstill_plugin_description description = {
    .magic = POTSTILL_MAGIC, .abi_major = POTSTILL_ABI_MAJOR, .abi_minor = POTSTILL_ABI_MINOR,
    .struct_size = sizeof description, .role = POTSTILL_OBJECTIVE, .id = "frozen/reinforce-v1", .version = "0.1.0",
    .summary = "REINFORCE.", .functions = &functions, .last_error = last_error};

POTSTILL_EXPORT const potstill_plugin_description *potstill_plugin(const potstill_host *host) {
    return host->magic == POTSTILL_MAGIC ? &description : NULL;
}
