/* What the author of a Potstill learner writes against, in C: a distribution of networks that are described, not
 * computed. It behaves as the Rust SDK does.
 *
 * A plugin is one definition of `potstill_plugin`, in any .c file of its folder; `potstill plugin build` compiles all of
 * them, except `test*.c`, with the C files of this SDK.
 *
 * Rules:
 * - Draw an architecture from the `potstill_rng` you are handed and from nothing else; the host draws the values of
 *   parameters.
 * - `forward` asks for the same parameters in the same order each time, and keeps no tensor.
 * - There is no operating system: `printf`, `assert`, files and clocks do not build. Use `potstill_fail`. `snprintf` does.
 * - Texts that a function returns must stay valid until it is called again: literals do.
 */
#ifndef POTSTILL_LEARNER_H
#define POTSTILL_LEARNER_H

#include "potstill_graph.h"

/* What a learner has to read and to give. */
typedef struct {
    /* Of one observation: a box or an image, whose pixels arrive as numbers from 0 to 1. */
    potstill_space observation;
    /* Numbers for each observation: logits, means, or a critic's value. */
    uint32_t outputs;
} potstill_learner_shape;

typedef enum { POTSTILL_CONSTANT, POTSTILL_UNIFORM, POTSTILL_NORMAL, POTSTILL_ORTHOGONAL } potstill_init_kind;

/* How a parameter starts in a fresh learner. The host draws it. */
typedef struct {
    potstill_init_kind kind;
    double value;
} potstill_init;

/* All this value. */
potstill_init potstill_constant_init(double value);
/* Within +- the bound. */
potstill_init potstill_uniform_init(double bound);
/* Mean 0 and this standard deviation. */
potstill_init potstill_normal_init(double deviation);
/* Orthonormal rows or columns times the gain (Saxe et al. 2014), as `torch.nn.init.orthogonal_`. */
potstill_init potstill_orthogonal_init(double gain);

/* Where `forward` gets its parameters from: asking for one declares it. */
typedef struct potstill_parameters potstill_parameters;

/* The parameter `name` of `shape`, in a layer counted from the input: encoder rollback meta-learns the layers before l
 * and lets the inner step teach the others. */
#define potstill_parameter(PARAMETERS, NAME, SHAPE, INIT, LAYER)                                                     \
    potstill_get_parameter(POTSTILL_HERE, PARAMETERS, NAME, SHAPE, INIT, LAYER)
/* A linear layer: weight `NAME.weight` [inputs, OUTPUTS], drawn by INIT, and bias `NAME.bias`, 0. */
#define potstill_linear(PARAMETERS, NAME, X, OUTPUTS, INIT, LAYER)                                                   \
    potstill_linear_layer(POTSTILL_HERE, PARAMETERS, NAME, X, OUTPUTS, INIT, LAYER)
/* A convolution of square kernels: weight `NAME.weight` [CHANNELS, inputs, KERNEL, KERNEL], drawn by INIT, and bias
 * `NAME.bias`, 0. */
#define potstill_convolution(PARAMETERS, NAME, X, CHANNELS, KERNEL, STRIDE, PADDING, INIT, LAYER)                    \
    potstill_convolution_layer(POTSTILL_HERE, PARAMETERS, NAME, X, CHANNELS, KERNEL, STRIDE, PADDING, INIT, LAYER)

/* Bytes of a learner's or a parameter's name, its zero byte included. */
enum { POTSTILL_NAME = 128 };

/* A distribution of networks. `self` is one draw: `size` bytes, all zero before `draw`. */
typedef struct {
    /* As in plugin.toml. A change of what is computed is a new `N` of `-vN`. */
    const char *id, *version;
    /* One sentence. */
    const char *summary;
    /* Ended by an option whose name is NULL; or NULL for none. */
    const potstill_option *options;
    /* sizeof the network's struct. */
    size_t size;
    /* Draws an architecture for `shape`. NULL, or why this shape or these options are not supported, in words for the
     * user. */
    const char *(*draw)(void *self, const potstill_learner_shape *shape, const potstill_options *options,
                        potstill_rng *rng);
    /* Writes what tells it from the distribution's other architectures: equal names trace equal graphs. Optional where there
     * is one architecture only. */
    void (*name)(const void *self, char name[POTSTILL_NAME]);
    /* Traces the network on `x` [batch, ...observation], giving [batch, outputs]. Asks for the same parameters in the same
     * order each time. */
    potstill_tensor (*forward)(const void *self, potstill_parameters *parameters, potstill_tensor x);
    /* Optional: releases what `draw` allocated. */
    void (*drop)(void *self);
} potstill_learner;

/* The plugin. Define it once. */
extern const potstill_learner potstill_plugin;

/* ---- One network: what the component is made of, and what tests trace ------------------------------------------- */

typedef struct potstill_architecture potstill_architecture;

/* A parameter that a network declared. */
typedef struct {
    char name[POTSTILL_NAME];
    potstill_shape shape;
    potstill_init init;
    uint32_t layer;
} potstill_declared;

/* A draw from `potstill_plugin`, with `settings` and otherwise the defaults. NULL and `error` when refused. `shape` must
 * stay. */
potstill_architecture *potstill_draw(const potstill_learner_shape *shape, const potstill_setting *settings, size_t count,
                                     uint64_t seed, const char **error);
void potstill_architecture_drop(potstill_architecture *architecture);
void potstill_architecture_name(const potstill_architecture *architecture, char name[POTSTILL_NAME]);
/* All parameters, in the order in which `forward` asks for them. Valid as long as the architecture. */
const potstill_declared *potstill_declare(potstill_architecture *architecture, size_t *count);
/* As many parameters as are declared. */
potstill_tensor potstill_forward(potstill_architecture *architecture, const potstill_tensor *parameters, size_t count,
                                 potstill_tensor x);

/* ---- What the macros call --------------------------------------------------------------------------------------- */

potstill_tensor potstill_get_parameter(const char *file, uint32_t line, potstill_parameters *parameters,
                                       const char *name, potstill_shape shape, potstill_init init, uint32_t layer);
potstill_tensor potstill_linear_layer(const char *file, uint32_t line, potstill_parameters *parameters,
                                      const char *name, potstill_tensor x, uint32_t outputs, potstill_init init,
                                      uint32_t layer);
potstill_tensor potstill_convolution_layer(const char *file, uint32_t line, potstill_parameters *parameters,
                                           const char *name, potstill_tensor x, uint32_t channels, uint32_t kernel,
                                           uint32_t stride, uint32_t padding, potstill_init init, uint32_t layer);

#endif
