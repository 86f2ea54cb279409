/* The C SDK for authors of Potstill learners, which are distributions of networks. A learner describes a network as a
 * graph; the host computes it. The SDK behaves like the Rust SDK.
 *
 * A plugin is one definition of `potstill_plugin`, in any .c file of its folder; `potstill plugin build` compiles all of
 * them, except `test*.c`, with the C files of this SDK.
 *
 * Rules:
 * - Draw an architecture with random numbers only from the `potstill_rng` that you are given; the host draws the values of
 *   parameters.
 * - `forward` must request the same parameters in the same order in every call, and must keep no tensor.
 * - The sandbox has no operating system: `printf`, `assert`, files and clocks do not build, but `snprintf` does. Use
 *   `potstill_fail`.
 * - A text that a function returns must stay valid until the next call of that function, as literals do.
 */
#ifndef POTSTILL_LEARNER_H
#define POTSTILL_LEARNER_H

#include "potstill_graph.h"

/* The inputs and outputs that a learner must have. */
typedef struct {
    /* The space of one observation: a box or an image. Pixels arrive as numbers from 0 to 1. */
    potstill_space observation;
    /* The number of outputs per observation: logits, means, or a critic's value. */
    uint32_t outputs;
} potstill_learner_shape;

typedef enum { POTSTILL_CONSTANT, POTSTILL_UNIFORM, POTSTILL_NORMAL, POTSTILL_ORTHOGONAL } potstill_init_kind;

/* How the host initializes a parameter of a fresh learner. */
typedef struct {
    potstill_init_kind kind;
    double value;
} potstill_init;

/* Every element has this value. */
potstill_init potstill_constant_init(double value);
/* Elements are uniform within +- this bound. */
potstill_init potstill_uniform_init(double bound);
/* Elements are normal with mean 0 and this standard deviation. */
potstill_init potstill_normal_init(double deviation);
/* The matrix is orthogonal times this gain (Saxe et al. 2014), as `torch.nn.init.orthogonal_` makes it. */
potstill_init potstill_orthogonal_init(double gain);

/* The parameters of a learner. `forward` declares a parameter by requesting it. */
typedef struct potstill_parameters potstill_parameters;

/* Returns the parameter NAME of SHAPE. Layers are counted from the input, from 0. With encoder rollback at layer l, the
 * layers before l are meta-learned and the inner step trains the others. */
#define potstill_parameter(PARAMETERS, NAME, SHAPE, INIT, LAYER)                                                     \
    potstill_get_parameter(POTSTILL_HERE, PARAMETERS, NAME, SHAPE, INIT, LAYER)
/* Applies a linear layer to X [..., inputs]. Its weight `NAME.weight` [inputs, OUTPUTS] is drawn by INIT, and its bias
 * `NAME.bias` [OUTPUTS] starts at 0. */
#define potstill_linear(PARAMETERS, NAME, X, OUTPUTS, INIT, LAYER)                                                   \
    potstill_linear_layer(POTSTILL_HERE, PARAMETERS, NAME, X, OUTPUTS, INIT, LAYER)
/* Applies a convolution with square kernels to X [batch, inputs, height, width]. Its weight `NAME.weight` [CHANNELS, inputs,
 * KERNEL, KERNEL] is drawn by INIT, and its bias `NAME.bias` [CHANNELS] starts at 0. */
#define potstill_convolution(PARAMETERS, NAME, X, CHANNELS, KERNEL, STRIDE, PADDING, INIT, LAYER)                    \
    potstill_convolution_layer(POTSTILL_HERE, PARAMETERS, NAME, X, CHANNELS, KERNEL, STRIDE, PADDING, INIT, LAYER)

/* The size of the buffer for the name of a learner or a parameter, including its NUL. */
enum { POTSTILL_NAME = 128 };

/* A distribution of networks. `self` is one network of `size` bytes, which are all zero before `draw`. */
typedef struct {
    /* The id and the release, as in plugin.toml. Increase the `N` of `-vN` when the results change. */
    const char *id, *version;
    /* A description in one sentence. */
    const char *summary;
    /* The options, ended by one whose name is NULL; or NULL for none. */
    const potstill_option *options;
    /* The size of the network's struct. */
    size_t size;
    /* Draws an architecture for `shape`. Returns NULL, or a message for the user if the shape or the options are not
     * supported. */
    const char *(*draw)(void *self, const potstill_learner_shape *shape, const potstill_options *options,
                        potstill_rng *rng);
    /* Writes the name of this architecture. Architectures with equal names must trace equal graphs. Optional if there is
     * only one architecture. */
    void (*name)(const void *self, char name[POTSTILL_NAME]);
    /* Traces the network on `x` [batch, ...observation] and returns its outputs [batch, outputs]. Every call must request
     * the same parameters in the same order. */
    potstill_tensor (*forward)(const void *self, potstill_parameters *parameters, potstill_tensor x);
    /* Optional: frees what `draw` allocated. */
    void (*drop)(void *self);
} potstill_learner;

/* The plugin, which the author defines once. */
extern const potstill_learner potstill_plugin;

/* ---- One network, which the component and tests trace ----------------------------------------------------------- */

typedef struct potstill_architecture potstill_architecture;

/* A parameter that a network declared. */
typedef struct {
    char name[POTSTILL_NAME];
    potstill_shape shape;
    potstill_init init;
    uint32_t layer;
} potstill_declared;

/* Draws an architecture from `potstill_plugin`. Options that are not in `settings` have their defaults. Returns NULL and
 * sets `error` if the plugin rejects the shape or the options. `shape` must outlive the architecture. */
potstill_architecture *potstill_draw(const potstill_learner_shape *shape, const potstill_setting *settings, size_t count,
                                     uint64_t seed, const char **error);
void potstill_architecture_drop(potstill_architecture *architecture);
void potstill_architecture_name(const potstill_architecture *architecture, char name[POTSTILL_NAME]);
/* Returns all parameters, in the order in which `forward` requests them. They are valid as long as the architecture. */
const potstill_declared *potstill_declare(potstill_architecture *architecture, size_t *count);
/* Traces the network on `x`. `count` must be the number of declared parameters. */
potstill_tensor potstill_forward(potstill_architecture *architecture, const potstill_tensor *parameters, size_t count,
                                 potstill_tensor x);

/* ---- Functions behind the macros -------------------------------------------------------------------------------- */

potstill_tensor potstill_get_parameter(const char *file, uint32_t line, potstill_parameters *parameters,
                                       const char *name, potstill_shape shape, potstill_init init, uint32_t layer);
potstill_tensor potstill_linear_layer(const char *file, uint32_t line, potstill_parameters *parameters,
                                      const char *name, potstill_tensor x, uint32_t outputs, potstill_init init,
                                      uint32_t layer);
potstill_tensor potstill_convolution_layer(const char *file, uint32_t line, potstill_parameters *parameters,
                                           const char *name, potstill_tensor x, uint32_t channels, uint32_t kernel,
                                           uint32_t stride, uint32_t padding, potstill_init init, uint32_t layer);

#endif
