/* The C SDK for authors of Potstill meta-objectives: the inner rule that trains a learner on theta, and the outer loss that
 * evaluates the trained learner. The SDK behaves like the Rust SDK.
 *
 * A plugin is one definition of `potstill_plugin`, in any .c file of its folder; `potstill plugin build` compiles all of
 * them, except `test*.c`, with the C files of this SDK.
 *
 * Rules:
 * - `inner` and `outer` must keep no tensor.
 * - The sandbox has no operating system: `printf`, `assert`, files and clocks do not build. Use `potstill_fail`.
 * - A text that a function returns must stay valid until the next call of that function, as literals do.
 */
#ifndef POTSTILL_OBJECTIVE_H
#define POTSTILL_OBJECTIVE_H

#include "potstill_graph.h"

/* The task that an objective is made for. */
typedef struct {
    potstill_space observation, action;
    /* The number k of synthetic instances to learn. */
    uint32_t instances;
    /* The number of outputs of the policy per observation. */
    uint32_t outputs;
} potstill_task;

/* The source of the transitions that an outer loss is computed on. */
typedef enum {
    /* Rollouts of the taught learner, with advantages that the host estimates. */
    POTSTILL_ROLLOUTS,
    /* A fixed dataset of transitions. */
    POTSTILL_OFFLINE,
} potstill_data;

/* How a part of theta is initialized: every element is `value`; normal with mean 0 and standard deviation `value`; or
 * one-hot rows [k, classes], where row i is 1 at class i modulo the number of classes. */
typedef enum { POTSTILL_META_CONSTANT, POTSTILL_META_NORMAL, POTSTILL_META_LABELS } potstill_meta_init;

/* A part of the meta-parameters theta, which are the learned dataset. */
typedef struct {
    /* The name, which is its key in the dataset. */
    const char *name;
    potstill_shape shape;
    potstill_meta_init init;
    double value;
    /* Whether it keeps its initial value instead of being learned. */
    bool fixed;
    /* Whether it is kept positive, by learning its logarithm. */
    bool positive;
} potstill_meta_parameter;

enum { POTSTILL_MOST_PARTS = 16, POTSTILL_MOST_METRICS = 16, POTSTILL_MOST_COLUMNS = 9 };

/* The meta-parameters theta: tensors by name. */
typedef struct potstill_theta potstill_theta;

/* Returns the part `name`: "x" [k, ...observation], "y" [k, outputs], "inner_lr" [], or another one that the plugin
 * declares. */
potstill_tensor potstill_part(const potstill_theta *theta, const char *name);

/* The inputs of `outer`. */
typedef struct {
    const potstill_theta *theta;
    /* The learner's parameters before and after the inner rule. Each array has `parameters` tensors. */
    const potstill_tensor *fresh, *taught;
    size_t parameters;
    /* For the SDK: the columns of the batch, and the metrics. */
    potstill_tensor columns[POTSTILL_MOST_COLUMNS];
    struct {
        const char *name;
        potstill_tensor value;
    } metrics[POTSTILL_MOST_METRICS];
    size_t metric_count;
} potstill_outer;

/* Returns a column of the batch, which the plugin's `columns` must name. Except for "progress", it has one row for each of
 * b transitions. */
potstill_tensor potstill_column(const potstill_outer *outer, const char *name);
/* Computes the outputs [b, outputs] of the taught learner for the observations of the batch. */
potstill_tensor potstill_outputs(const potstill_outer *outer);
/* Logs the scalar `value` as `name`. Computing it costs time in every update. */
void potstill_metric(potstill_outer *outer, const char *name, potstill_tensor value);

/* ---- The learner as a function of its parameters, and its policy as a distribution over actions ----------------- */

/* Computes the learner's outputs [batch, outputs] for observations X [batch, ...] and COUNT parameters. */
#define potstill_apply(PARAMETERS, COUNT, X) (potstill_graph_at(POTSTILL_HERE), potstill_network_apply(PARAMETERS, COUNT, X))
/* Computes the log-probability [batch, 1] of ACTIONS under the policy with these OUTPUTS [batch, outputs]. */
#define potstill_log_prob(OUTPUTS, ACTIONS)                                                                          \
    (potstill_graph_at(POTSTILL_HERE), potstill_network_log_probability(OUTPUTS, ACTIONS))
/* Computes the entropy [batch, 1] of the policy with these OUTPUTS [batch, outputs]. */
#define potstill_entropy(OUTPUTS) (potstill_graph_at(POTSTILL_HERE), potstill_network_entropy(OUTPUTS))
/* Computes the Kullback-Leibler divergence E_p[log p - log q], [batch, 1], between the policies with outputs P and Q, both
 * [batch, outputs]. */
#define potstill_divergence(P, Q) (potstill_graph_at(POTSTILL_HERE), potstill_network_divergence(P, Q))

/* ---- Losses and inner update rules that several objectives share ------------------------------------------------ */

/* Normalizes advantages to mean 0 and standard deviation 1 over the batch. */
potstill_tensor potstill_normalized(potstill_tensor advantages);
/* Computes PPO's clipped surrogate loss (Schulman et al. 2017, equation 7) of the taught learner, with an entropy bonus, and
 * logs metrics. It uses `advantages` [b, 1] as they are, without normalizing them, and reads the columns "observations",
 * "actions" and "log_probs". */
potstill_tensor potstill_clipped_surrogate(potstill_outer *outer, potstill_tensor advantages, double clip,
                                           double entropy_weight);
/* Computes the cross-entropy [b, 1] of each row of logits [b, n] with labels [b, n] that sum to 1. */
potstill_tensor potstill_cross_entropy(potstill_tensor outputs, potstill_tensor labels);
/* Takes one step of gradient descent on the mean squared error between the learner's raw outputs and the labels:
 * phi' = phi - eta * grad mse(f(phi, X), Y). */
void potstill_inner_step(const potstill_theta *theta, const potstill_tensor *fresh, size_t count,
                         potstill_tensor *taught);
/* Writes the 3 default parts of theta, X, Y ~ N(0, 1) and a learned inner learning rate that starts at 1, and returns 3. */
size_t potstill_default_theta(const potstill_task *task, potstill_meta_parameter *parts);

/* ---- The objective ---------------------------------------------------------------------------------------------- */

/* A meta-objective. `self` is its state for one task, of `size` bytes, which are all zero before `init`. */
typedef struct {
    /* The id and the release, as in plugin.toml. Increase the `N` of `-vN` when the results change. */
    const char *id, *version;
    /* A description in one sentence. */
    const char *summary;
    /* The options, ended by one whose name is NULL; or NULL for none. */
    const potstill_option *options;
    /* The source of the transitions that the outer loss is computed on. */
    potstill_data data;
    /* The names of the columns of the batch that `outer` reads, ended by NULL. The host computes only these. There are
     * "observations" [b, ...] and "actions", which are indices [b, 1] or values [b, size]. Rollouts also have "log_probs"
     * [b, 1] and "outputs" [b, outputs] of the policy that acted, "advantages" [b, 1] (not normalized), "returns" [b, 1] and
     * "values" [b, 1], and "teacher" [b, outputs], the outputs of the agent that the user names as the teacher:
     * log-probabilities of all actions, or means and log standard deviations. "progress" [1, 1] is the fraction of the run
     * that is done, in [0, 1). */
    const char *columns[POTSTILL_MOST_COLUMNS + 1];
    /* The size of the objective's struct. */
    size_t size;
    /* Reads the options. Returns NULL, or a message for the user if the task or the options are not supported. */
    const char *(*init)(void *self, const potstill_task *task, const potstill_options *options);
    /* Optional: writes the parts of theta, at most POTSTILL_MOST_PARTS, and returns their number. The default is
     * `potstill_default_theta`. */
    size_t (*theta)(const void *self, const potstill_task *task, potstill_meta_parameter *parts);
    /* Optional: the inner rule phi -> phi'. Writes the learner's parameters after training on theta, with the same number
     * and shapes as `fresh`. The default is `potstill_inner_step`. */
    void (*inner)(const void *self, const potstill_theta *theta, const potstill_tensor *fresh, size_t count,
                  potstill_tensor *taught);
    /* Returns the outer loss of the taught learner on a batch, a scalar to minimize. */
    potstill_tensor (*outer)(const void *self, potstill_outer *outer);
    /* Optional: frees what `init` allocated. */
    void (*drop)(void *self);
} potstill_objective;

/* The plugin, which the author defines once. */
extern const potstill_objective potstill_plugin;

/* ---- One instance, which the component and tests trace ---------------------------------------------------------- */

typedef struct potstill_instance potstill_instance;

/* Makes `potstill_plugin` for `task`. Options that are not in `settings` have their defaults. Returns NULL and sets `error`
 * if the plugin rejects the task or the options. */
potstill_instance *potstill_objective_make(const potstill_task *task, const potstill_setting *settings, size_t count,
                                           const char **error);
void potstill_objective_drop(potstill_instance *instance);
/* Returns the parts of theta, which are valid as long as the instance. */
const potstill_meta_parameter *potstill_objective_theta(const potstill_instance *instance, size_t *count);
/* Traces the inner rule. `theta` has one tensor for each part. */
void potstill_objective_inner(const potstill_instance *instance, const potstill_tensor *theta,
                              const potstill_tensor *fresh, size_t count, potstill_tensor *taught);
/* Traces the outer loss. The caller sets `fresh`, `taught`, `parameters` and `columns`, which are in the order of the
 * plugin's `columns`. */
potstill_tensor potstill_objective_outer(const potstill_instance *instance, const potstill_tensor *theta,
                                         potstill_outer *outer);

#endif
