/* The contract between Potstill and a native plugin, version 0.1.
 *
 * A native plugin is a shared library that exports one function, `potstill_plugin`. It returns a description of the
 * plugin and a table of functions for its role: an environment, a learner or an objective. The two sides share nothing
 * else: no allocator, no exceptions, no symbols. A native plugin runs with all the rights of the process that loads it;
 * Potstill's `--isolate` loads it into a process of its own.
 *
 * General rules:
 *
 * - Versions. `abi_major` must equal the host's. A host accepts plugins of its own minor version and of older ones.
 *   Structures that begin with `struct_size` (set it to `sizeof`) may grow at their end in a later version: a reader
 *   must not access fields beyond the writer's `struct_size`. All other structures are final. Zero unused fields.
 * - Memory. Whoever allocates memory frees it. A pointer that the host passes is valid during the call. A pointer that
 *   the plugin returns must stay valid until the next call of the same function on that handle, or until `destroy`.
 * - Errors. A function returns POTSTILL_OK; POTSTILL_REFUSED if the user can fix the cause, in which case the handle
 *   stays usable; or POTSTILL_FAILED, after which the host only destroys the handle. The host then reads the message
 *   with `last_error`. No exception and no longjmp may leave the plugin. In C++ catch everything: an exception that
 *   leaves the plugin ends the process.
 * - Arrays are contiguous and row-major. Text is UTF-8 and ends with a zero byte.
 * - The host trusts no answer: it checks every length and value that it can.
 *
 * States and threads. Each function is marked with `[STATE & THREAD]`: the state in which it may be called, and on
 * which thread. `STATE | STATE` means either. The host keeps these rules when it calls the plugin; the plugin must keep
 * them when it calls the host.
 *
 *     library:  before-open --potstill_plugin--> open, until the process ends (the library is never unloaded)
 *
 *     handle:   make --> made --reset, restore--> started --reset, step, restore--> started
 *               a call returns POTSTILL_FAILED:     made | started --> failed
 *               `restore` returns POTSTILL_REFUSED: made | started --> made
 *               destroy:                            made | started | failed --> gone
 *
 *     before-open    the library is loaded; nothing of it has been called
 *     open           `potstill_plugin` has been called
 *     made           `make` gave the handle
 *     started        environments only: episodes are running
 *     failed         a call on the handle returned POTSTILL_FAILED
 *     tracing        during the plugin's function that was given this graph
 *
 *     any-thread     on any thread, also while other calls are running: the function must be thread-safe
 *     one-at-a-time  on any thread, but never two calls on the same handle at once; different handles may overlap
 *     same-thread    on the thread of the plugin's function that is tracing, or whose error is read
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
    POTSTILL_BOX = 0,            /* an array of floats */
    POTSTILL_DISCRETE = 1,       /* an integer in [0, n) */
    POTSTILL_MULTI_DISCRETE = 2, /* for each i, an integer in [0, shape[i]) */
    POTSTILL_IMAGE = 3           /* an array of bytes */
};

/* A space of observations or actions, as in Gymnasium. */
typedef struct potstill_space {
    uint32_t kind;
    uint32_t n;            /* discrete */
    uint32_t rank;         /* box, image: number of dimensions; multi-discrete: number of components */
    uint32_t bounds;       /* box: 1 (the same bounds for all elements), or the number of elements */
    const uint32_t *shape; /* [rank] */
    const float *low;      /* box: [bounds], -INFINITY if unbounded */
    const float *high;     /* box: [bounds], INFINITY if unbounded */
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

/* An option of the plugin. The host shows it in --help and checks the values that users set. */
typedef struct potstill_option {
    const char *name; /* lower-case letters, digits, dashes */
    const char *help; /* one sentence */
    potstill_value default_value;
    int64_t integer_min, integer_max;
    double number_min, number_max;
    const char *const *choices; /* text: the allowed values; any text if there are none */
    uint32_t choice_count;
    uint32_t reserved;
} potstill_option;

/* An option and its value. `make` gets every option of the plugin once, with defaults filled in. */
typedef struct potstill_setting {
    const char *name;
    potstill_value value;
} potstill_setting;

/* ---- Environments ---------------------------------------------------------------------------------------------- */

typedef struct potstill_environments potstill_environments; /* N copies of one environment; the plugin defines it */

/* The specification of an environment with its options set. It must not change while the copies exist. */
typedef struct potstill_spec {
    uint32_t struct_size;
    uint32_t max_episode_steps; /* the plugin truncates an episode after this many steps; 0: no limit */
    potstill_space observation; /* box or image */
    potstill_space action;      /* discrete, multi-discrete or box */
    float reward_threshold;     /* the return at which the environment counts as solved; NAN: undefined */
    float max_return;           /* an upper bound of an episode's return; NAN: unknown */
} potstill_spec;

/* The results of one step of all copies, in arrays of the host. `size` is the number of elements of an observation.
 * Observations are floats for a box and bytes for an image. */
typedef struct potstill_transition {
    uint32_t struct_size;
    uint32_t reserved;
    void *observations;       /* [N, size]; if the episode ended, the first observation of the next one */
    float *rewards;           /* [N], finite */
    uint8_t *terminated;      /* [N], 0 or 1: reached a terminal state */
    uint8_t *truncated;       /* [N], 0 or 1: cut short, and not terminated */
    void *final_observations; /* room for [N, size]: the last observations of the episodes that ended in this step, and
                                 no others, without gaps, in the order of their copies */
    uint8_t *faults;          /* [N], zeros, or NULL. Set an element to 1 if the simulation failed (became unstable,
                                 say) and cannot go on: the episode is then `truncated`, its last observation must be
                                 finite, and the host counts it. Log the reason once, with host->log */
    uint8_t *lives_lost;      /* [N], POTSTILL_NO_LIVES, or NULL. A game with lives sets every element to 1 if the step
                                 cost a life and the episode goes on, else to 0. All others leave it alone */
} potstill_transition;

/* What `lives_lost` holds before a step. */
enum { POTSTILL_NO_LIVES = 2 };

enum { POTSTILL_RGB = 0, POTSTILL_LINES = 1 };

/* An image of one copy. */
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
    /* [open & any-thread] Creates `num_envs` copies, at least 1, which wait for `reset`. */
    int32_t (*make)(uint32_t num_envs, const potstill_setting *settings, uint32_t setting_count,
                    potstill_environments **copies);
    /* [made | started | failed & one-at-a-time] Releases the copies. */
    void (*destroy)(potstill_environments *copies);
    /* [made | started & one-at-a-time] Describes the copies. */
    int32_t (*spec)(potstill_environments *copies, potstill_spec *spec);
    /* [made | started & one-at-a-time] Starts an episode in every copy. `seeds[i]` alone seeds the random stream of
     * copy i: equal seeds and actions must give equal episodes, whatever the number of copies and whatever was played
     * before. */
    int32_t (*reset)(potstill_environments *copies, const uint64_t *seeds, void *observations);
    /* [started & one-at-a-time] Steps every copy. Actions: discrete uint32_t[N]; multi-discrete uint32_t[N,
     * components]; box float[N, size], finite, not clamped to the bounds. */
    int32_t (*step)(potstill_environments *copies, const void *actions, potstill_transition *transition);
    /* [made | started & one-at-a-time] Optional (NULL): draws copy `index` and changes nothing. */
    int32_t (*render)(potstill_environments *copies, uint32_t index, uint32_t mode, potstill_frame *frame);
    /* [made | started & one-at-a-time] Optional (NULL, then `restore` is NULL too): the complete state of all copies,
     * random streams included. */
    int32_t (*snapshot)(potstill_environments *copies, const uint8_t **bytes, size_t *length);
    /* [made | started & one-at-a-time] Restores what `snapshot` gave, also of other copies of the same number and
     * options. POTSTILL_REFUSED: the bytes are no snapshot. */
    int32_t (*restore)(potstill_environments *copies, const uint8_t *bytes, size_t length);
} potstill_environment;

/* ---- The graph ------------------------------------------------------------------------------------------------- */

/* Learners and objectives compute nothing themselves: they describe a graph once, and the host differentiates, compiles
 * and runs it for every batch. A tensor is a number that the host assigns; it is valid only during the call in which it
 * was assigned. 0 is no tensor: an invalid operation returns it, and so does every operation on it. The host records
 * the first error, with `file` and `line`, and reports it when the call returns. */
typedef uint32_t potstill_tensor;

/* Operations. In parentheses: the contents of `integers` and `numbers`. Elementwise operations broadcast as in NumPy. A
 * negative axis counts from the last. */
enum {
    /* leaves */
    POTSTILL_OP_CONSTANT = 0,  /* a scalar (numbers: value) */
    POTSTILL_OP_VALUES = 1,    /* an array (integers: shape; numbers: elements) */
    POTSTILL_OP_INDICES = 2,   /* an array of indices (integers: shape; numbers: integral values) */
    /* one tensor, elementwise */
    POTSTILL_OP_NEGATE = 10, POTSTILL_OP_ABSOLUTE = 11, POTSTILL_OP_SQUARE = 12, POTSTILL_OP_SQUARE_ROOT = 13,
    POTSTILL_OP_RECIPROCAL = 14, POTSTILL_OP_EXPONENTIAL = 15, POTSTILL_OP_LOGARITHM = 16, POTSTILL_OP_TANH = 17,
    POTSTILL_OP_SIGMOID = 18, POTSTILL_OP_RELU = 19, POTSTILL_OP_GELU = 20, POTSTILL_OP_ERROR_FUNCTION = 21,
    POTSTILL_OP_SIGN = 22,
    POTSTILL_OP_POWER = 23, /* (numbers: exponent) */
    /* two tensors, elementwise; comparisons return 0 or 1 */
    POTSTILL_OP_ADD = 40, POTSTILL_OP_SUBTRACT = 41, POTSTILL_OP_MULTIPLY = 42, POTSTILL_OP_DIVIDE = 43,
    POTSTILL_OP_MINIMUM = 44, POTSTILL_OP_MAXIMUM = 45, POTSTILL_OP_LESS = 46, POTSTILL_OP_LESS_EQUAL = 47,
    POTSTILL_OP_EQUAL = 48,
    POTSTILL_OP_SELECT = 49, /* condition, a, b: a where the condition is not 0, else b */
    /* reductions over the axes in `integers`, or over all axes if there are none; if the first number is not 0, reduced
     * axes are kept with length 1 */
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
    POTSTILL_OP_VARIABLE = 127 /* the same value, with respect to which gradients can be taken */
};

/* An operation on tensors. */
typedef struct potstill_operation {
    uint32_t struct_size;
    uint32_t op;
    const potstill_tensor *inputs;
    const int64_t *integers;
    const double *numbers;
    uint32_t input_count, integer_count, number_count;
    uint32_t line;    /* line in the plugin's source, for error messages; 0: unknown */
    const char *file; /* NULL: unknown */
} potstill_operation;

/* The graph that a call adds to. Pass `context` as the first argument of its functions. */
typedef struct potstill_graph {
    uint32_t struct_size;
    uint32_t reserved;
    void *context;
    /* [tracing & same-thread] Adds an operation and returns its result. */
    potstill_tensor (*operation)(void *context, const potstill_operation *operation);
    /* [tracing & same-thread] Writes the first `capacity` dimensions of a tensor and returns its rank. */
    uint32_t (*shape)(void *context, potstill_tensor tensor, uint32_t *dimensions, uint32_t capacity);
    /* [tracing & same-thread] Writes `count` tensors: the gradients of the scalar `loss` with respect to each tensor in
     * `wrt`, which must be tensors that the host passed in, or variables. Gradients are nodes of the graph, so that
     * gradients of gradients are taken in the same way. */
    void (*gradients)(void *context, potstill_tensor loss, const potstill_tensor *wrt, uint32_t count,
                      potstill_tensor *gradients);
} potstill_graph;

/* ---- Learners -------------------------------------------------------------------------------------------------- */

typedef struct potstill_architecture potstill_architecture; /* one draw of the distribution; the plugin defines it */

enum {
    POTSTILL_INIT_CONSTANT = 0,  /* value */
    POTSTILL_INIT_UNIFORM = 1,   /* in [-value, value] */
    POTSTILL_INIT_NORMAL = 2,    /* mean 0, standard deviation value */
    POTSTILL_INIT_ORTHOGONAL = 3 /* a (semi-)orthogonal matrix times value; a convolution's kernel is treated as a
                                    matrix [out, in * height * width] */
};

/* A parameter of the learner, in the order of `forward`. The host draws its values from the run's random stream. */
typedef struct potstill_parameter {
    const char *name; /* unique within the learner; the key in checkpoints */
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
    /* [open & any-thread] Draws an architecture for these observations, from `seed` if the distribution has more than
     * one. It has `outputs` outputs: logits, means, or a critic's value. */
    int32_t (*make)(const potstill_space *observation, uint32_t outputs, const potstill_setting *settings,
                    uint32_t setting_count, uint64_t seed, potstill_architecture **architecture);
    /* [made | failed & one-at-a-time] Releases the architecture. */
    void (*destroy)(potstill_architecture *architecture);
    /* [made & one-at-a-time] Identifies the architecture in the distribution: equal names must trace equal graphs. */
    const char *(*name)(potstill_architecture *architecture);
    /* [made & one-at-a-time] Lists all parameters, in the order of `forward`. The call may trace into `graph`, for
     * example to find out shapes; the host discards it. */
    int32_t (*parameters)(potstill_architecture *architecture, const potstill_graph *graph,
                          const potstill_parameter **parameters, uint32_t *count);
    /* [made & one-at-a-time] Traces the learner on `x` [batch, ...observation] (pixels scaled to 0-1), to outputs
     * [batch, outputs]. It is called with several sets of parameters in one graph: keep no tensor between calls. */
    int32_t (*forward)(potstill_architecture *architecture, const potstill_graph *graph,
                       const potstill_tensor *parameters, uint32_t count, potstill_tensor x, potstill_tensor *output);
} potstill_learner;

/* ---- Objectives ------------------------------------------------------------------------------------------------ */

typedef struct potstill_instance potstill_instance; /* an objective for one task; the plugin defines it */

/* The task that an objective is made for. */
typedef struct potstill_task {
    uint32_t struct_size;
    uint32_t instances; /* k: number of synthetic instances */
    uint32_t outputs;   /* number of outputs of the policy */
    uint32_t reserved;
    potstill_space observation;
    potstill_space action;
} potstill_task;

enum {
    POTSTILL_META_CONSTANT = 0, /* value */
    POTSTILL_META_NORMAL = 1,   /* mean 0, standard deviation value */
    POTSTILL_META_LABELS = 2    /* [k, classes]: one-hot rows, row i for class i modulo the number of classes */
};

/* A part of theta, the dataset that is learned. Every objective has `x` [k, ...observation], `y` [k, outputs] and
 * `inner_lr` []; it may add others. */
typedef struct potstill_meta_parameter {
    const char *name;
    const uint32_t *shape;
    uint32_t rank;
    uint32_t init;
    double value;
    uint32_t learned;  /* 0: keeps its initial value */
    uint32_t positive; /* not 0: the outer loop updates its logarithm */
} potstill_meta_parameter;

/* What an objective learns from. 1 is reserved: no plugin may return it, and no later version will define it. */
enum {
    POTSTILL_ROLLOUTS = 0, /* rollouts of the taught learner, with advantages that the host estimates */
    POTSTILL_OFFLINE = 2   /* a fixed set of transitions */
};

/* The learner as a function of its parameters, and its policy as a distribution over actions. It is opaque, so that
 * every objective works with every learner. */
typedef struct potstill_network {
    uint32_t struct_size;
    uint32_t reserved;
    const potstill_graph *graph;
    void *context;
    /* [tracing & same-thread] The learner's outputs [batch, outputs] on x. `parameters` has as many tensors as `inner`
     * was given. */
    potstill_tensor (*apply)(void *context, const potstill_tensor *parameters, uint32_t count, potstill_tensor x);
    /* [tracing & same-thread] [batch, 1]: the log-probability of `actions` under the policy described by `outputs`. */
    potstill_tensor (*log_probability)(void *context, potstill_tensor outputs, potstill_tensor actions);
    /* [tracing & same-thread] [batch, 1]: the entropy of the policy described by `outputs`. */
    potstill_tensor (*entropy)(void *context, potstill_tensor outputs);
    /* [tracing & same-thread] [batch, 1]: the Kullback-Leibler divergence of policy `q` from policy `p`,
     * E_p[log p - log q]. */
    potstill_tensor (*divergence)(void *context, potstill_tensor p, potstill_tensor q);
} potstill_network;

/* A scalar to log. */
typedef struct potstill_metric {
    const char *name;
    potstill_tensor value; /* a scalar */
    uint32_t reserved;
} potstill_metric;

/* The arguments and results of `outer`. */
typedef struct potstill_outer {
    uint32_t struct_size;
    uint32_t theta_count, parameter_count, column_count;
    const potstill_tensor *theta;   /* in the order of `meta_parameters` */
    const potstill_tensor *fresh;   /* the learner's parameters before the inner rule */
    const potstill_tensor *taught;  /* and after it */
    const potstill_tensor *columns; /* the batch, in the order of `columns` */
    /* The plugin writes: */
    potstill_tensor loss; /* a scalar to minimize */
    uint32_t metric_count;
    const potstill_metric *metrics;
} potstill_outer;

typedef struct potstill_objective {
    uint32_t struct_size;
    uint32_t reserved;
    /* [open & any-thread] Makes the objective for a task. POTSTILL_REFUSED: the task or options are unsupported. */
    int32_t (*make)(const potstill_task *task, const potstill_setting *settings, uint32_t setting_count,
                    potstill_instance **instance);
    /* [made | failed & one-at-a-time] Releases the objective. */
    void (*destroy)(potstill_instance *instance);
    /* [made & one-at-a-time] What it learns from: POTSTILL_ROLLOUTS or POTSTILL_OFFLINE. */
    uint32_t (*data)(potstill_instance *instance);
    /* [made & one-at-a-time] The parts of theta. */
    int32_t (*meta_parameters)(potstill_instance *instance, const potstill_meta_parameter **parameters,
                               uint32_t *count);
    /* [made & one-at-a-time] The names of the batch tensors that `outer` needs; the host computes no others. All but
     * `progress` have one row for each transition of the batch: `observations` [b, ...], `actions` [b, 1] (indices) or
     * [b, size]; for rollouts also `log_probs` [b, 1] and `outputs` [b, outputs] of the policy that acted, `advantages`
     * [b, 1], `returns` [b, 1], `values` [b, 1], and `teacher` [b, outputs], the outputs of the agent that the user names
     * as the teacher: log-probabilities of all actions, or means and log standard deviations. `progress` [1, 1] is the
     * fraction of the run that is complete, in [0, 1). */
    int32_t (*columns)(potstill_instance *instance, const char *const **names, uint32_t *count);
    /* [made & one-at-a-time] Traces the inner rule, from fresh to taught parameters of the same number and shapes. */
    int32_t (*inner)(potstill_instance *instance, const potstill_network *network, const potstill_tensor *theta,
                     uint32_t theta_count, const potstill_tensor *fresh, uint32_t parameter_count,
                     potstill_tensor *taught);
    /* [made & one-at-a-time] Traces the loss of the taught learner on a batch. */
    int32_t (*outer)(potstill_instance *instance, const potstill_network *network, potstill_outer *outer);
} potstill_objective;

/* ---- The plugin ------------------------------------------------------------------------------------------------ */

enum { POTSTILL_ENVIRONMENT = 0, POTSTILL_LEARNER = 1, POTSTILL_OBJECTIVE = 2 };
enum { POTSTILL_DEBUG = 0, POTSTILL_INFO = 1, POTSTILL_WARN = 2, POTSTILL_ERROR = 3 };

/* What the host offers. Valid until the process ends. */
typedef struct potstill_host {
    uint32_t magic;
    uint16_t abi_major, abi_minor;
    uint32_t struct_size;
    uint32_t reserved;
    const char *version; /* of the program */
    /* [before-open | open & any-thread] Logs a message; `potstill_plugin` itself may call it. */
    void (*log)(uint32_t level, const char *message);
    const char *setup; /* the folder that `potstill plugin setup` installs external dependencies into. It may not exist;
                          "" if the user has none; never NULL */
} potstill_host;

/* The identity of a plugin and its functions. It must agree with plugin.toml, if there is one. */
typedef struct potstill_plugin_description {
    uint32_t magic;                /* POTSTILL_MAGIC */
    uint16_t abi_major, abi_minor; /* POTSTILL_ABI_MAJOR, POTSTILL_ABI_MINOR */
    uint32_t struct_size;
    uint32_t role;
    const char *id;      /* name-vN or namespace/name-vN; if what it computes changes, N must change */
    const char *version; /* the release of this binary, e.g. 1.2.0 */
    const char *summary; /* one sentence */
    const potstill_option *options;
    uint32_t option_count;
    uint32_t reserved;
    const void *functions; /* potstill_environment, potstill_learner or potstill_objective */
    /* [open & same-thread] The message of this thread's last call that did not return POTSTILL_OK; never NULL. */
    const char *(*last_error)(void);
    /* The next plugin of this library, at most 256 in all, each with its own id; NULL: this is the last. An id without
     * a version selects the first plugin of that name. */
    const struct potstill_plugin_description *next;
} potstill_plugin_description;

/* [before-open & any-thread] The only exported symbol. The host calls it once per process, before anything else. The
 * description must stay valid until the process ends. NULL: this host is too old for the plugin (say so with
 * host->log). */
POTSTILL_EXPORT const potstill_plugin_description *potstill_plugin(const potstill_host *host);

#ifdef __cplusplus
}
#endif
#endif
