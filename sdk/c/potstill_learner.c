/* Implements drawing a learner and its parameters, as learner.rs does in the Rust SDK. */
#include "potstill_learner.h"

#include <stdlib.h>
#include <string.h>

static potstill_init init_of(potstill_init_kind kind, double value) {
    potstill_init init = {kind, value};
    return init;
}

potstill_init potstill_constant_init(double value) { return init_of(POTSTILL_CONSTANT, value); }
potstill_init potstill_uniform_init(double bound) { return init_of(POTSTILL_UNIFORM, bound); }
potstill_init potstill_normal_init(double deviation) { return init_of(POTSTILL_NORMAL, deviation); }
potstill_init potstill_orthogonal_init(double gain) { return init_of(POTSTILL_ORTHOGONAL, gain); }

struct potstill_parameters {
    potstill_declared *declared;
    size_t count, room;
    /* The values, or NULL in the pass that declares the parameters. */
    const potstill_tensor *given;
    size_t next;
};

struct potstill_architecture {
    const potstill_learner_shape *shape;
    potstill_options *options;
    void *self;
    potstill_parameters parameters;
    bool is_declared;
};

static void set_name(char out[POTSTILL_NAME], const char *name, const char *suffix) {
    size_t length = strlen(name), more = strlen(suffix);
    if (length + more >= POTSTILL_NAME) potstill_fail("a parameter's name is too long");
    memcpy(out, name, length);
    memcpy(out + length, suffix, more + 1);
}

static bool same(const potstill_declared *a, const potstill_declared *b) {
    return strcmp(a->name, b->name) == 0 && a->shape.rank == b->shape.rank &&
           memcmp(a->shape.size, b->shape.size, a->shape.rank * sizeof *a->shape.size) == 0 &&
           a->init.kind == b->init.kind && a->init.value == b->init.value && a->layer == b->layer;
}

static potstill_tensor ask(const char *file, uint32_t line, potstill_parameters *p, const potstill_declared *asked) {
    if (p->given) {
        if (p->next >= p->count || !same(&p->declared[p->next], asked))
            potstill_fail("`forward` must request the parameters that it declared, in the same order");
        return p->given[p->next++];
    }
    if (p->count == p->room) {
        p->room = 2 * p->room + 8;
        p->declared = realloc(p->declared, p->room * sizeof *p->declared);
        if (!p->declared) potstill_fail("out of memory");
    }
    p->declared[p->count++] = *asked;
    double zero = 0;
    potstill_tensor scalar = potstill_leaf(file, line, 0, POTSTILL_SCALAR, &zero);
    return potstill_with(file, line, 122, scalar, asked->shape);
}

potstill_tensor potstill_get_parameter(const char *file, uint32_t line, potstill_parameters *parameters,
                                       const char *name, potstill_shape shape, potstill_init init, uint32_t layer) {
    potstill_declared asked = {.shape = shape, .init = init, .layer = layer};
    set_name(asked.name, name, "");
    return ask(file, line, parameters, &asked);
}

/* Requests the parameters `name.weight` and `name.bias`. */
static void weight_and_bias(const char *file, uint32_t line, potstill_parameters *parameters, const char *name,
                            potstill_shape shape, uint32_t outputs, potstill_init init, uint32_t layer,
                            potstill_tensor out[2]) {
    potstill_declared weight = {.shape = shape, .init = init, .layer = layer};
    potstill_declared bias = {.shape = POTSTILL_SHAPE(outputs), .init = potstill_constant_init(0), .layer = layer};
    set_name(weight.name, name, ".weight");
    set_name(bias.name, name, ".bias");
    out[0] = ask(file, line, parameters, &weight);
    out[1] = ask(file, line, parameters, &bias);
}

potstill_tensor potstill_linear_layer(const char *file, uint32_t line, potstill_parameters *parameters,
                                      const char *name, potstill_tensor x, uint32_t outputs, potstill_init init,
                                      uint32_t layer) {
    potstill_shape shape = potstill_shape_of(x);
    int64_t inputs = shape.rank ? shape.size[shape.rank - 1] : 1;
    potstill_tensor p[2];
    weight_and_bias(file, line, parameters, name, POTSTILL_SHAPE(inputs, outputs), outputs, init, layer, p);
    return potstill_of_two(file, line, 40, potstill_of_two(file, line, 80, x, p[0]), p[1]);
}

potstill_tensor potstill_convolution_layer(const char *file, uint32_t line, potstill_parameters *parameters,
                                           const char *name, potstill_tensor x, uint32_t channels, uint32_t kernel,
                                           uint32_t stride, uint32_t padding, potstill_init init, uint32_t layer) {
    potstill_shape shape = potstill_shape_of(x);
    int64_t inputs = shape.rank >= 2 ? shape.size[1] : 1;
    potstill_tensor p[2];
    shape = POTSTILL_SHAPE(channels, inputs, kernel, kernel);
    weight_and_bias(file, line, parameters, name, shape, channels, init, layer, p);
    potstill_tensor inputs_of[] = {x, p[0]};
    potstill_tensor y =
        potstill_operation(file, line, 81, 2, inputs_of, POTSTILL_SHAPE(stride, padding), 0, NULL);
    return potstill_of_two(file, line, 40, y, potstill_with(file, line, 120, p[1], POTSTILL_SHAPE(1, channels, 1, 1)));
}

potstill_architecture *potstill_draw(const potstill_learner_shape *shape, const potstill_setting *settings, size_t count,
                                     uint64_t seed, const char **error) {
    potstill_architecture *architecture = potstill_allocate(1, sizeof *architecture);
    architecture->shape = shape;
    architecture->options = potstill_options_of(potstill_plugin.options, settings, count);
    architecture->self = potstill_allocate(1, potstill_plugin.size);
    potstill_rng rng = potstill_seeded(seed);
    *error = potstill_plugin.draw(architecture->self, shape, architecture->options, &rng);
    if (*error) {
        potstill_architecture_drop(architecture);
        return NULL;
    }
    return architecture;
}

void potstill_architecture_drop(potstill_architecture *architecture) {
    if (potstill_plugin.drop) potstill_plugin.drop(architecture->self);
    potstill_options_drop(architecture->options);
    free(architecture->parameters.declared);
    free(architecture->self);
    free(architecture);
}

void potstill_architecture_name(const potstill_architecture *architecture, char name[POTSTILL_NAME]) {
    set_name(name, "the one", "");
    if (potstill_plugin.name) potstill_plugin.name(architecture->self, name);
    name[POTSTILL_NAME - 1] = 0;
}

const potstill_declared *potstill_declare(potstill_architecture *architecture, size_t *count) {
    potstill_parameters *parameters = &architecture->parameters;
    if (!architecture->is_declared) {
        const potstill_space *observation = &architecture->shape->observation;
        potstill_shape batch = {.rank = 1 + observation->rank, .size = {1}};
        for (uint32_t i = 0; i < observation->rank; i++) batch.size[1 + i] = observation->shape[i];
        potstill_plugin.forward(architecture->self, parameters, potstill_full(0, batch));
        architecture->is_declared = true;
    }
    *count = parameters->count;
    return parameters->declared;
}

potstill_tensor potstill_forward(potstill_architecture *architecture, const potstill_tensor *parameters, size_t count,
                                 potstill_tensor x) {
    size_t declared;
    potstill_declare(architecture, &declared);
    if (count != declared) potstill_fail("the host passes another number of parameters than were declared");
    potstill_parameters given = architecture->parameters;
    /* `given` must not be NULL, even if there are no parameters. */
    potstill_tensor none = {0};
    given.given = count ? parameters : &none;
    given.next = 0;
    return potstill_plugin.forward(architecture->self, &given, x);
}
