/* What the author of a Potstill meta-objective writes against, in C: the rule that teaches a learner from theta, and the
 * loss that judges the taught one. It behaves as the Rust SDK does.
 *
 * A plugin is one definition of `potstill_plugin`, in any .c file of its folder; `potstill plugin build` compiles all of
 * them, except `test*.c`, with the C files of this SDK.
 *
 * Rules:
 * - `inner` and `outer` keep no tensor.
 * - There is no operating system: `printf`, `assert`, files and clocks do not build. Use `potstill_fail`.
 * - Texts that a function returns must stay valid until it is called again: literals do.
 */
#ifndef POTSTILL_OBJECTIVE_H
#define POTSTILL_OBJECTIVE_H

#include "potstill_graph.h"

/* What an objective is told about the task. */
typedef struct {
    potstill_space observation, action;
    /* k: synthetic instances to learn. */
    uint32_t instances;
    /* Outputs of the policy for each observation. */
    uint32_t outputs;
} potstill_task;

/* Where the transitions that a loss is computed on come from. */
typedef enum {
    /* The taught learner's own rollouts, with the advantages that the host estimates. */
    POTSTILL_ROLLOUTS,
    /* A fixed set of transitions. */
    POTSTILL_OFFLINE,
} potstill_data;

/* How a part of theta starts: all `value`; mean 0 and standard deviation `value`; [k, classes], row i is 1 at class i
 * modulo the number of classes, else 0. */
typedef enum { POTSTILL_META_CONSTANT, POTSTILL_META_NORMAL, POTSTILL_META_LABELS } potstill_meta_init;

/* A part of theta, the dataset that is learned. */
typedef struct {
    /* Its key in the dataset. */
    const char *name;
    potstill_shape shape;
    potstill_meta_init init;
    double value;
    /* Stays as it starts. */
    bool fixed;
    /* Above 0, and learned as its logarithm. */
    bool positive;
} potstill_meta_parameter;

enum { POTSTILL_MOST_PARTS = 16, POTSTILL_MOST_METRICS = 16, POTSTILL_MOST_COLUMNS = 8 };

/* theta: its parts by name. */
typedef struct potstill_theta potstill_theta;

/* The part `name`, which the plugin declared: "x" [k, ...observation], "y" [k, outputs], "inner_lr" [], and its own. */
potstill_tensor potstill_part(const potstill_theta *theta, const char *name);

/* What `outer` judges. */
typedef struct {
    const potstill_theta *theta;
    /* The learner's parameters before the inner rule, and after it; `parameters` of each. */
    const potstill_tensor *fresh, *taught;
    size_t parameters;
    /* For the SDK: the batch, and what is logged. */
    potstill_tensor columns[POTSTILL_MOST_COLUMNS];
    struct {
        const char *name;
        potstill_tensor value;
    } metrics[POTSTILL_MOST_METRICS];
    size_t metric_count;
} potstill_outer;

/* A tensor of the batch, which the plugin's `columns` name. One row for each of b transitions. */
potstill_tensor potstill_column(const potstill_outer *outer, const char *name);
/* The taught learner's outputs for the batch's observations, [b, outputs]. */
potstill_tensor potstill_outputs(const potstill_outer *outer);
/* Logs the scalar `value` as `name`. It costs what it takes to compute it. */
void potstill_metric(potstill_outer *outer, const char *name, potstill_tensor value);

/* ---- The learner as a function of its parameters, and its policy as a distribution of actions ------------------- */

/* [batch, outputs] on X with COUNT parameters. */
#define potstill_apply(PARAMETERS, COUNT, X) (potstill_graph_at(POTSTILL_HERE), potstill_network_apply(PARAMETERS, COUNT, X))
/* [batch, 1]: the log-probability of ACTIONS under the policy that OUTPUTS describes. */
#define potstill_log_prob(OUTPUTS, ACTIONS)                                                                          \
    (potstill_graph_at(POTSTILL_HERE), potstill_network_log_probability(OUTPUTS, ACTIONS))
/* [batch, 1]: the entropy of the policy that OUTPUTS describes. */
#define potstill_entropy(OUTPUTS) (potstill_graph_at(POTSTILL_HERE), potstill_network_entropy(OUTPUTS))
/* [batch, 1]: the Kullback-Leibler divergence of policy Q from policy P, E_p[log p - log q]. */
#define potstill_divergence(P, Q) (potstill_graph_at(POTSTILL_HERE), potstill_network_divergence(P, Q))

/* ---- Losses and inner rules that several objectives share ------------------------------------------------------- */

/* Mean 0 and deviation 1 over the batch. */
potstill_tensor potstill_normalized(potstill_tensor advantages);
/* PPO's clipped surrogate loss (Schulman et al. 2017, equation 7) of the taught learner, with an entropy bonus and
 * metrics. `advantages` as they are to be used. Reads "observations", "actions" and "log_probs". */
potstill_tensor potstill_clipped_surrogate(potstill_outer *outer, potstill_tensor advantages, double clip,
                                           double entropy_weight);
/* Cross-entropy of raw outputs [b, n] with labels that sum to 1, for each row, [b, 1]. */
potstill_tensor potstill_cross_entropy(potstill_tensor outputs, potstill_tensor labels);
/* One step of gradient descent on the mean squared error between raw outputs and labels:
 * phi' = phi - eta * grad mse(f(phi, X), Y). */
void potstill_inner_step(const potstill_theta *theta, const potstill_tensor *fresh, size_t count,
                         potstill_tensor *taught);
/* X, Y ~ N(0, 1) and a learned inner learning rate: writes 3 parts, and says so. */
size_t potstill_default_theta(const potstill_task *task, potstill_meta_parameter *parts);

/* ---- The objective ---------------------------------------------------------------------------------------------- */

/* A meta-objective. `self` is one for a task: `size` bytes, all zero before `init`. */
typedef struct {
    /* As in plugin.toml. A change of what is computed is a new `N` of `-vN`. */
    const char *id, *version;
    /* One sentence. */
    const char *summary;
    /* Ended by an option whose name is NULL; or NULL for none. */
    const potstill_option *options;
    /* What it learns from. */
    potstill_data data;
    /* What of the batch `outer` reads, ended by NULL; the host computes no more. "observations" [b, ...], "actions" [b, 1]
     * (indices) or [b, size]; of rollouts also "log_probs" [b, 1] and "outputs" [b, outputs] of the policy that acted,
     * "advantages" [b, 1], not normalized, "returns" [b, 1], "values" [b, 1]. Besides, "progress" [1, 1]: the share
     * of the run that is done, in [0, 1). */
    const char *columns[POTSTILL_MOST_COLUMNS + 1];
    /* sizeof the objective's struct. */
    size_t size;
    /* Reads the options. NULL, or why this task or these options are not supported, in words for the user. */
    const char *(*init)(void *self, const potstill_task *task, const potstill_options *options);
    /* Optional: writes the parts of theta, at most POTSTILL_MOST_PARTS, and gives their number. The default is
     * `potstill_default_theta`. */
    size_t (*theta)(const void *self, const potstill_task *task, potstill_meta_parameter *parts);
    /* Optional: phi -> phi', the parameters after learning from theta, as many as `fresh` and shaped alike. The default is
     * `potstill_inner_step`. */
    void (*inner)(const void *self, const potstill_theta *theta, const potstill_tensor *fresh, size_t count,
                  potstill_tensor *taught);
    /* The loss of the taught learner on a batch: a scalar, to be made small. */
    potstill_tensor (*outer)(const void *self, potstill_outer *outer);
    /* Optional: releases what `init` allocated. */
    void (*drop)(void *self);
} potstill_objective;

/* The plugin. Define it once. */
extern const potstill_objective potstill_plugin;

/* ---- One instance: what the component is made of, and what tests trace ------------------------------------------ */

typedef struct potstill_instance potstill_instance;

/* `potstill_plugin` for `task`, with `settings` and otherwise the defaults. NULL and `error` when refused. */
potstill_instance *potstill_objective_make(const potstill_task *task, const potstill_setting *settings, size_t count,
                                           const char **error);
void potstill_objective_drop(potstill_instance *instance);
/* The parts of theta. Valid as long as the instance. */
const potstill_meta_parameter *potstill_objective_theta(const potstill_instance *instance, size_t *count);
/* As many tensors of theta as there are parts. */
void potstill_objective_inner(const potstill_instance *instance, const potstill_tensor *theta,
                              const potstill_tensor *fresh, size_t count, potstill_tensor *taught);
/* `outer` has `fresh`, `taught`, `parameters` and `columns`, in the order in which the plugin names them. */
potstill_tensor potstill_objective_outer(const potstill_instance *instance, const potstill_tensor *theta,
                                         potstill_outer *outer);

#endif
