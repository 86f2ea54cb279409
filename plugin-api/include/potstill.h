/* The contract between Potstill and a native plugin, version 0.1.
 *
 * A native plugin is a shared library that exports one function, `potstill_plugin`. It returns a description of the
 * plugin and a table of functions for its role: an environment, a learner or an objective. Nothing else is shared: no
 * allocator, no exceptions, no symbols. A native plugin runs with all rights of the program that loads it; Potstill's
 * `--isolate` runs it in a process of its own.
 *
 * Rules that hold everywhere:
 *
 * - Versions. `abi_major` must be the host's. A host serves plugins of its own minor version and of older ones.
 *   Structures that begin with their size (`struct_size = sizeof(...)`) only ever grow at their end: who reads one
 *   written by the other side looks at no field beyond that size. The others never change. Set fields you do not use
 *   to zero.
 * - Threads. One thread at a time calls a handle, not always the same. Different handles may be called at once. The
 *   library is never unloaded.
 * - Memory. Who allocates, frees. A pointer that the host passes is valid during the call. A pointer that the plugin
 *   returns stays valid until the handle's next call of the same function, or its `destroy`.
 * - Errors. A function returns POTSTILL_OK, or POTSTILL_REFUSED for what the user can mend (the handle can be used
 *   again), or POTSTILL_FAILED (the host then only destroys the handle). The words are fetched at once, by the same
 *   thread, with `last_error`. No exception and no longjmp may leave the plugin: in C++ catch everything, because an
 *   exception that leaves it ends the process.
 * - Arrays are contiguous, the first dimension outermost. Text is UTF-8 and ends with a zero.
 * - The host trusts no answer: it checks every length and value that it can.
 */
#ifndef POTSTILL_H
#define POTSTILL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define POTSTILL_MAGIC 0x4C4C4954u /* "TILL" */
#define POTSTILL_ABI_MAJOR 0u
#define POTSTILL_ABI_MINOR 1u

#if defined(_WIN32)
#define POTSTILL_EXPORT __declspec(dllexport)
#else
#define POTSTILL_EXPORT __attribute__((visibility("default")))
#endif

enum { POTSTILL_OK = 0, POTSTILL_REFUSED = 1, POTSTILL_FAILED = 2 };

/* ---- Values ---------------------------------------------------------------------------------------------------- */

enum {
    POTSTILL_BOX = 0,            /* real numbers (float) in an array */
    POTSTILL_DISCRETE = 1,       /* a whole number below n */
    POTSTILL_MULTI_DISCRETE = 2, /* one whole number below shape[i] for each i */
    POTSTILL_IMAGE = 3           /* bytes in an array */
};

/* A set of observations or actions, with Gymnasium's meanings. */
typedef struct potstill_space {
    uint32_t kind;
    uint32_t n;            /* discrete */
    uint32_t rank;         /* box, image: dimensions; multi-discrete: components */
    uint32_t bounds;       /* box: 1 for all elements, or as many as there are elements */
    const uint32_t *shape; /* [rank] */
    const float *low;      /* box: [bounds], -INFINITY where there is none */
    const float *high;     /* box: [bounds], INFINITY where there is none */
} potstill_space;

enum { POTSTILL_INTEGER = 0, POTSTILL_NUMBER = 1, POTSTILL_BOOLEAN = 2, POTSTILL_TEXT = 3 };

/* The value of an option. */
typedef struct potstill_value {
    uint32_t kind;
    uint32_t reserved;
    int64_t integer; /* integer; boolean: 0 or 1 */
    double number;
    const char *text;
} potstill_value;

/* An option that the plugin accepts. The host shows it in --help and checks what the user sets. */
typedef struct potstill_option {
    const char *name; /* lower case, digits, dashes */
    const char *help; /* one sentence */
    potstill_value default_value;
    int64_t integer_min, integer_max;
    double number_min, number_max;
    const char *const *choices; /* text: one of these, or any when there are none */
    uint32_t choice_count;
    uint32_t reserved;
} potstill_option;

/* An option and its value: every option of the plugin once, defaults filled in. */
typedef struct potstill_setting {
    const char *name;
    potstill_value value;
} potstill_setting;

/* ---- Environments ---------------------------------------------------------------------------------------------- */

typedef struct potstill_environments potstill_environments; /* N copies of one environment; yours to define */

/* What each copy is, once the options are set. Never changes during the life of the copies. */
typedef struct potstill_spec {
    uint32_t struct_size;
    uint32_t max_episode_steps; /* steps after which the plugin truncates an episode; 0: no limit */
    potstill_space observation; /* box or image */
    potstill_space action;      /* discrete, multi-discrete or box */
    float reward_threshold;     /* the return that counts as solved; NAN: none agreed on */
    float max_return;           /* the return no episode exceeds; NAN: none */
} potstill_spec;

/* What a step of all copies gave, in arrays of the host. `size` is that of an observation; observations are float for
 * a box and bytes for an image. */
typedef struct potstill_transition {
    uint32_t struct_size;
    uint32_t reserved;
    void *observations;       /* [N, size]; where the episode ended, the first of the next one */
    float *rewards;           /* [N], finite */
    uint8_t *terminated;      /* [N], 0 or 1: a terminal state */
    uint8_t *truncated;       /* [N], 0 or 1: cut short, and not terminated */
    void *final_observations; /* room for [N, size]: the last observations of the episodes that ended in this step, and
                                 only those, one after the other in the order of their copies */
    uint8_t *faults;          /* [N], zeros, or NULL; set to 1 where the simulation failed (it became unstable, say) and
                                 could not go on. Such an episode is cut short, `truncated`, with a last observation
                                 that is finite; the host counts it. Say why with host->log, once */
} potstill_transition;

enum { POTSTILL_RGB = 0, POTSTILL_LINES = 1 };

/* A picture of one copy. */
typedef struct potstill_frame {
    uint32_t struct_size;
    uint32_t width, height;
    uint32_t reserved;
    const uint8_t *pixels; /* POTSTILL_RGB: [height, width, 3] */
    const char *text;      /* POTSTILL_LINES */
} potstill_frame;

typedef struct potstill_environment {
    uint32_t struct_size;
    uint32_t reserved;
    /* `num_envs` copies, at least 1, which wait for `reset`. */
    int32_t (*make)(uint32_t num_envs, const potstill_setting *settings, uint32_t setting_count,
                    potstill_environments **copies);
    void (*destroy)(potstill_environments *copies);
    int32_t (*spec)(potstill_environments *copies, potstill_spec *spec);
    /* Starts an episode in every copy. `seeds[i]` seeds the random stream of copy i, and nothing else may: equal seeds
     * and actions give equal episodes, whatever the number of copies and whatever was played before. */
    int32_t (*reset)(potstill_environments *copies, const uint64_t *seeds, void *observations);
    /* One step of every copy. Actions: discrete uint32_t[N]; multi-discrete uint32_t[N, components]; box
     * float[N, size], finite, not clamped to the bounds. */
    int32_t (*step)(potstill_environments *copies, const void *actions, potstill_transition *transition);
    /* Optional (NULL): draws copy `index`, changing nothing. */
    int32_t (*render)(potstill_environments *copies, uint32_t index, uint32_t mode, potstill_frame *frame);
    /* Optional (both or neither): the whole state of all copies, random streams included, and back. */
    int32_t (*snapshot)(potstill_environments *copies, const uint8_t **bytes, size_t *length);
    int32_t (*restore)(potstill_environments *copies, const uint8_t *bytes, size_t length);
} potstill_environment;

/* ---- The graph ------------------------------------------------------------------------------------------------- */

/* Learners and objectives compute nothing: they describe a graph once, and the host differentiates, compiles and runs
 * it for every batch. A tensor is a number that the host gives out; it means something only during the call in which
 * it was given. 0 is no tensor: it is what a mistake gives, and every operation on it. The host keeps the first
 * mistake, with `file` and `line`, and reports it when the call returns. */
typedef uint32_t potstill_tensor;

/* Operations. In brackets: what `integers` and `numbers` hold. Elementwise operations broadcast as NumPy's do. Axes may
 * be negative, counting from the last. */
enum {
    /* leaves */
    POTSTILL_OP_CONSTANT = 0,  /* a scalar (numbers: value) */
    POTSTILL_OP_VALUES = 1,    /* an array (integers: shape; numbers: elements) */
    POTSTILL_OP_INDICES = 2,   /* an array of indices (integers: shape; numbers: whole numbers) */
    /* one tensor, elementwise */
    POTSTILL_OP_NEGATE = 10, POTSTILL_OP_ABSOLUTE = 11, POTSTILL_OP_SQUARE = 12, POTSTILL_OP_SQUARE_ROOT = 13,
    POTSTILL_OP_RECIPROCAL = 14, POTSTILL_OP_EXPONENTIAL = 15, POTSTILL_OP_LOGARITHM = 16, POTSTILL_OP_TANH = 17,
    POTSTILL_OP_SIGMOID = 18, POTSTILL_OP_RELU = 19, POTSTILL_OP_GELU = 20, POTSTILL_OP_ERROR_FUNCTION = 21,
    POTSTILL_OP_SIGN = 22,
    POTSTILL_OP_POWER = 23, /* (numbers: exponent) */
    /* two tensors, elementwise; comparisons give 0 or 1 */
    POTSTILL_OP_ADD = 40, POTSTILL_OP_SUBTRACT = 41, POTSTILL_OP_MULTIPLY = 42, POTSTILL_OP_DIVIDE = 43,
    POTSTILL_OP_MINIMUM = 44, POTSTILL_OP_MAXIMUM = 45, POTSTILL_OP_LESS = 46, POTSTILL_OP_LESS_EQUAL = 47,
    POTSTILL_OP_EQUAL = 48,
    POTSTILL_OP_SELECT = 49, /* condition, a, b: a where the condition is not 0, else b */
    /* reductions over the axes in `integers`, or over all when there are none; reduced axes stay, with length 1, where
     * the first number is not 0 */
    POTSTILL_OP_SUM = 60, POTSTILL_OP_MEAN = 61, POTSTILL_OP_MAXIMUM_OVER = 62,
    POTSTILL_OP_LOG_SOFTMAX = 63, /* (integers: axis) */
    POTSTILL_OP_SOFTMAX = 64,     /* (integers: axis) */
    POTSTILL_OP_LAYER_NORM = 65,  /* over the last axis, no scale or shift (numbers: epsilon) */
    /* linear algebra and windows */
    POTSTILL_OP_MATMUL = 80,       /* [..., m, k] x [..., k, n] */
    POTSTILL_OP_CONV2D = 81,       /* [N, C, H, W], [O, C, h, w] (integers: stride, padding) */
    POTSTILL_OP_AVERAGE_POOL = 82, /* (integers: kernel, stride, padding) */
    POTSTILL_OP_MAXIMUM_POOL = 83, /* (integers: kernel, stride, padding) */
    /* indices */
    POTSTILL_OP_GATHER = 100,      /* x, index (integers: axis) */
    POTSTILL_OP_SCATTER_ADD = 101, /* y, index (integers: axis, length): adds y at index into zeros */
    POTSTILL_OP_ONE_HOT = 102,     /* index (integers: classes) -> [..., classes] */
    /* shapes */
    POTSTILL_OP_RESHAPE = 120,   /* (integers: shape) */
    POTSTILL_OP_PERMUTE = 121,   /* (integers: axes) */
    POTSTILL_OP_BROADCAST = 122, /* (integers: shape) */
    POTSTILL_OP_SLICE = 123,     /* (integers: axis, start, length) */
    POTSTILL_OP_PAD = 124,       /* zeros (integers: axis, before, after) */
    POTSTILL_OP_CONCAT = 125,    /* any number of tensors (integers: axis) */
    POTSTILL_OP_STOP_GRADIENT = 126,
    POTSTILL_OP_VARIABLE = 127 /* the same value, as something that gradients can be taken with respect to */
};

/* An operation on tensors. */
typedef struct potstill_operation {
    uint32_t struct_size;
    uint32_t op;
    const potstill_tensor *inputs;
    const int64_t *integers;
    const double *numbers;
    uint32_t input_count, integer_count, number_count;
    uint32_t line;    /* where in the plugin's source, for errors; 0: unknown */
    const char *file; /* NULL: unknown */
} potstill_operation;

/* The graph that a call is to add to; `context` is the first argument of its functions. */
typedef struct potstill_graph {
    uint32_t struct_size;
    uint32_t reserved;
    void *context;
    potstill_tensor (*operation)(void *context, const potstill_operation *operation);
    /* Writes the first `capacity` dimensions of a tensor and gives their number. */
    uint32_t (*shape)(void *context, potstill_tensor tensor, uint32_t *dimensions, uint32_t capacity);
    /* Gradients of the scalar `loss` with respect to each of `wrt`, which are tensors that the host gave or variables:
     * nodes like any other, so that gradients of
     * gradients are written the same way. Writes `count` tensors. */
    void (*gradients)(void *context, potstill_tensor loss, const potstill_tensor *wrt, uint32_t count,
                      potstill_tensor *gradients);
} potstill_graph;

/* ---- Learners -------------------------------------------------------------------------------------------------- */

typedef struct potstill_architecture potstill_architecture; /* one draw of the distribution; yours to define */

enum {
    POTSTILL_INIT_CONSTANT = 0,  /* value */
    POTSTILL_INIT_UNIFORM = 1,   /* within +- value */
    POTSTILL_INIT_NORMAL = 2,    /* mean 0, standard deviation value */
    POTSTILL_INIT_ORTHOGONAL = 3 /* a (semi-)orthogonal matrix times value; a convolution's kernel counts as a matrix
                                    [out, in * height * width] */
};

/* A parameter, as `forward` gets it. The host draws its values, from the run's random stream. */
typedef struct potstill_parameter {
    const char *name; /* unique in the learner: the key in checkpoints */
    const uint32_t *shape;
    uint32_t rank;
    uint32_t init;
    double value;
    uint32_t layer; /* counted from the input: encoder rollback splits the learner here */
    uint32_t reserved;
} potstill_parameter;

typedef struct potstill_learner {
    uint32_t struct_size;
    uint32_t reserved;
    /* Draws an architecture for these observations; `seed` chooses where the distribution has more than one. It gives
     * `outputs` numbers: logits, means, or a critic's value. */
    int32_t (*make)(const potstill_space *observation, uint32_t outputs, const potstill_setting *settings,
                    uint32_t setting_count, uint64_t seed, potstill_architecture **architecture);
    void (*destroy)(potstill_architecture *architecture);
    /* What tells it from the distribution's other architectures: equal names trace equal graphs. */
    const char *(*name)(potstill_architecture *architecture);
    /* All parameters, in the order in which `forward` gets them. `graph` is one to try things on. */
    int32_t (*parameters)(potstill_architecture *architecture, const potstill_graph *graph,
                          const potstill_parameter **parameters, uint32_t *count);
    /* Traces the learner on `x`, [batch, ...observation] (pixels scaled to 0-1), giving [batch, outputs]. Called with
     * several sets of parameters in one graph: keep no tensor between calls. */
    int32_t (*forward)(potstill_architecture *architecture, const potstill_graph *graph,
                       const potstill_tensor *parameters, uint32_t count, potstill_tensor x, potstill_tensor *output);
} potstill_learner;

/* ---- Objectives ------------------------------------------------------------------------------------------------ */

typedef struct potstill_instance potstill_instance; /* an objective for one task; yours to define */

/* What an objective is told about the task. */
typedef struct potstill_task {
    uint32_t struct_size;
    uint32_t instances; /* k: synthetic instances to learn */
    uint32_t outputs;   /* of the policy, for each observation */
    uint32_t reserved;
    potstill_space observation;
    potstill_space action;
} potstill_task;

enum {
    POTSTILL_META_CONSTANT = 0, /* value */
    POTSTILL_META_NORMAL = 1,   /* mean 0, standard deviation value */
    POTSTILL_META_LABELS = 2    /* [k, classes]: row i is 1 at class i modulo the number of classes, else 0 */
};

/* A part of theta, the dataset that is learned. Every objective has `x` [k, ...observation], `y` [k, outputs] and
 * `inner_lr` []; others are its own. */
typedef struct potstill_meta_parameter {
    const char *name;
    const uint32_t *shape;
    uint32_t rank;
    uint32_t init;
    double value;
    uint32_t learned;  /* 0: stays as it starts */
    uint32_t positive; /* not 0: learned as its logarithm */
} potstill_meta_parameter;

enum {
    POTSTILL_ROLLOUTS = 0,              /* the taught learner's own, with generalised advantage estimates */
    POTSTILL_ROLLOUTS_AS_PUBLISHED = 1, /* the same, with the estimates of the code of Wilhelm & Ventura 2025 */
    POTSTILL_OFFLINE = 2                /* a fixed set of transitions */
};

/* The learner as a function of its parameters, and its policy as a distribution of actions. It cannot be looked into,
 * so that every objective works with every learner. */
typedef struct potstill_network {
    uint32_t struct_size;
    uint32_t reserved;
    const potstill_graph *graph;
    void *context;
    /* [batch, outputs] on x, with as many parameters as `inner` was given. */
    potstill_tensor (*apply)(void *context, const potstill_tensor *parameters, uint32_t count, potstill_tensor x);
    /* [batch, 1]: the log-probability of `actions` under the policy that `outputs` describes. */
    potstill_tensor (*log_probability)(void *context, potstill_tensor outputs, potstill_tensor actions);
    /* [batch, 1] */
    potstill_tensor (*entropy)(void *context, potstill_tensor outputs);
    /* [batch, 1]: the Kullback-Leibler divergence of the policy `q` from the policy `p`, E_p[log p - log q]. */
    potstill_tensor (*divergence)(void *context, potstill_tensor p, potstill_tensor q);
} potstill_network;

/* A number to log. */
typedef struct potstill_metric {
    const char *name;
    potstill_tensor value; /* a scalar */
    uint32_t reserved;
} potstill_metric;

/* What `outer` is given and gives. */
typedef struct potstill_outer {
    uint32_t struct_size;
    uint32_t theta_count, parameter_count, column_count;
    const potstill_tensor *theta;   /* in the order of `meta_parameters` */
    const potstill_tensor *fresh;   /* the parameters before the inner rule */
    const potstill_tensor *taught;  /* and after it */
    const potstill_tensor *columns; /* the batch, in the order of `columns` */
    /* to be filled in: */
    potstill_tensor loss; /* a scalar, to be made small */
    uint32_t metric_count;
    const potstill_metric *metrics;
} potstill_outer;

typedef struct potstill_objective {
    uint32_t struct_size;
    uint32_t reserved;
    int32_t (*make)(const potstill_task *task, const potstill_setting *settings, uint32_t setting_count,
                    potstill_instance **instance);
    void (*destroy)(potstill_instance *instance);
    /* POTSTILL_ROLLOUTS, ... */
    uint32_t (*data)(potstill_instance *instance);
    int32_t (*meta_parameters)(potstill_instance *instance, const potstill_meta_parameter **parameters,
                               uint32_t *count);
    /* The batch tensors that `outer` needs, by name: the host computes no others. Each has one row for each
     * transition of the batch: `observations` [b, ...], `actions` [b, 1] (indices) or [b, size]; of rollouts also
     * `log_probs` [b, 1] and `outputs` [b, outputs] of the policy that acted, `advantages` [b, 1], `returns` [b, 1],
     * `values` [b, 1]. Besides, `progress` [1, 1]: the share of the run that is done, in [0, 1). */
    int32_t (*columns)(potstill_instance *instance, const char *const **names, uint32_t *count);
    /* Traces the inner rule: from fresh parameters to taught ones, as many and shaped alike. */
    int32_t (*inner)(potstill_instance *instance, const potstill_network *network, const potstill_tensor *theta,
                     uint32_t theta_count, const potstill_tensor *fresh, uint32_t parameter_count,
                     potstill_tensor *taught);
    /* Traces the loss of the taught learner on a batch. */
    int32_t (*outer)(potstill_instance *instance, const potstill_network *network, potstill_outer *outer);
} potstill_objective;

/* ---- The plugin ------------------------------------------------------------------------------------------------ */

enum { POTSTILL_ENVIRONMENT = 0, POTSTILL_LEARNER = 1, POTSTILL_OBJECTIVE = 2 };
enum { POTSTILL_DEBUG = 0, POTSTILL_INFO = 1, POTSTILL_WARN = 2, POTSTILL_ERROR = 3 };

/* What the plugin may call at any time, from any thread. Valid for ever. */
typedef struct potstill_host {
    uint32_t magic;
    uint16_t abi_major, abi_minor;
    uint32_t struct_size;
    uint32_t reserved;
    const char *version; /* of the program */
    void (*log)(uint32_t level, const char *message);
    const char *setup; /* the folder into which `potstill plugin setup` puts what plugins need, which need not exist; ""
                          where the user has none. Never NULL */
} potstill_host;

/* Who the plugin is and what it does. Must agree with plugin.toml where there is one. */
typedef struct potstill_plugin_description {
    uint32_t magic;                /* POTSTILL_MAGIC */
    uint16_t abi_major, abi_minor; /* POTSTILL_ABI_MAJOR, POTSTILL_ABI_MINOR */
    uint32_t struct_size;
    uint32_t role;
    const char *id;      /* name-vN or namespace/name-vN: a change of what is computed is a new N */
    const char *version; /* the release of this binary, e.g. 1.2.0 */
    const char *summary; /* one sentence */
    const potstill_option *options;
    uint32_t option_count;
    uint32_t reserved;
    const void *functions; /* potstill_environment, potstill_learner or potstill_objective */
    /* Of the calling thread's last call that did not return POTSTILL_OK; never NULL. */
    const char *(*last_error)(void);
    /* The next plugin of this library, each with an id of its own, at most 256; NULL: this is the last. An id without
     * version means the first of its name. */
    const struct potstill_plugin_description *next;
} potstill_plugin_description;

/* The one symbol of the library. Called once for each process that loads it, before anything else; what it returns is
 * valid for ever. NULL: this host is too old for the plugin (say so with host->log). */
POTSTILL_EXPORT const potstill_plugin_description *potstill_plugin(const potstill_host *host);

#ifdef __cplusplus
}
#endif
#endif
