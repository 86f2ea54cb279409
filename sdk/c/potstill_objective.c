/* Implements an objective for one task, and losses, as objective.rs and loss.rs do in the Rust SDK. */
#include "potstill_objective.h"

#include <stdlib.h>
#include <string.h>

struct potstill_instance {
    potstill_options *options;
    void *self;
    potstill_meta_parameter parts[POTSTILL_MOST_PARTS];
    size_t part_count;
};

struct potstill_theta {
    const potstill_instance *instance;
    const potstill_tensor *tensors;
};

potstill_tensor potstill_part(const potstill_theta *theta, const char *name) {
    const potstill_instance *instance = theta->instance;
    for (size_t i = 0; i < instance->part_count; i++)
        if (strcmp(instance->parts[i].name, name) == 0) return theta->tensors[i];
    potstill_fail("the objective reads a part of theta that it does not declare");
}

potstill_tensor potstill_column(const potstill_outer *outer, const char *name) {
    for (size_t i = 0; potstill_plugin.columns[i]; i++)
        if (strcmp(potstill_plugin.columns[i], name) == 0) return outer->columns[i];
    potstill_fail("the objective reads a column of the batch that it does not request in `columns`");
}

potstill_tensor potstill_outputs(const potstill_outer *outer) {
    return potstill_apply(outer->taught, outer->parameters, potstill_column(outer, "observations"));
}

void potstill_metric(potstill_outer *outer, const char *name, potstill_tensor value) {
    if (outer->metric_count == POTSTILL_MOST_METRICS) potstill_fail("more metrics than POTSTILL_MOST_METRICS");
    outer->metrics[outer->metric_count].name = name;
    outer->metrics[outer->metric_count++].value = value;
}

potstill_tensor potstill_normalized(potstill_tensor advantages) {
    potstill_tensor centered = potstill_sub(advantages, potstill_mean(advantages));
    potstill_tensor deviation = potstill_sqrt(potstill_mean(potstill_square(centered)));
    return potstill_div(centered, potstill_add_number(deviation, 1e-8));
}

potstill_tensor potstill_clipped_surrogate(potstill_outer *outer, potstill_tensor advantages, double clip,
                                           double entropy_weight) {
    potstill_tensor outputs = potstill_outputs(outer);
    potstill_tensor log_prob = potstill_log_prob(outputs, potstill_column(outer, "actions"));
    potstill_tensor log_ratio = potstill_sub(log_prob, potstill_column(outer, "log_probs"));
    potstill_tensor ratio = potstill_exp(log_ratio);
    potstill_tensor clipped = potstill_mul(potstill_clamp(ratio, 1 - clip, 1 + clip), advantages);
    potstill_tensor policy_loss = potstill_neg(potstill_mean(potstill_min(potstill_mul(ratio, advantages), clipped)));
    potstill_tensor entropy = potstill_mean(potstill_entropy(outputs));
    potstill_tensor off = potstill_sub(ratio, potstill_constant(1));
    potstill_tensor clip_fraction = potstill_mean(potstill_less(potstill_constant(clip), potstill_abs(off)));
    potstill_tensor loss = potstill_sub(policy_loss, potstill_mul_number(entropy, entropy_weight));
    potstill_metric(outer, "policy_loss", policy_loss);
    potstill_metric(outer, "entropy", entropy);
    /* Schulman's low-variance estimator: E[(r - 1) - log r]. */
    potstill_metric(outer, "approx_kl", potstill_mean(potstill_sub(off, log_ratio)));
    potstill_metric(outer, "clip_fraction", clip_fraction);
    return loss;
}

potstill_tensor potstill_cross_entropy(potstill_tensor outputs, potstill_tensor labels) {
    potstill_tensor products = potstill_mul(potstill_log_softmax(outputs, -1), labels);
    return potstill_neg(potstill_sum_keep(products, POTSTILL_AXES(-1)));
}

void potstill_inner_step(const potstill_theta *theta, const potstill_tensor *fresh, size_t count,
                         potstill_tensor *taught) {
    potstill_tensor outputs = potstill_apply(fresh, count, potstill_part(theta, "x"));
    potstill_tensor loss = potstill_mean(potstill_square(potstill_sub(outputs, potstill_part(theta, "y"))));
    potstill_grad(loss, fresh, count, taught);
    for (size_t i = 0; i < count; i++)
        taught[i] = potstill_sub(fresh[i], potstill_mul(potstill_part(theta, "inner_lr"), taught[i]));
}

size_t potstill_default_theta(const potstill_task *task, potstill_meta_parameter *parts) {
    const potstill_space *observation = &task->observation;
    potstill_shape x = {.rank = 1 + observation->rank, .size = {task->instances}};
    for (uint32_t i = 0; i < observation->rank; i++) x.size[1 + i] = observation->shape[i];
    parts[0] = (potstill_meta_parameter){.name = "x", .shape = x, .init = POTSTILL_META_NORMAL, .value = 1};
    parts[1] = (potstill_meta_parameter){.name = "y",
                                         .shape = POTSTILL_SHAPE(task->instances, task->outputs),
                                         .init = POTSTILL_META_NORMAL,
                                         .value = 1};
    parts[2] = (potstill_meta_parameter){.name = "inner_lr", .value = 1, .positive = true};
    return 3;
}

potstill_instance *potstill_objective_make(const potstill_task *task, const potstill_setting *settings, size_t count,
                                           const char **error) {
    potstill_instance *instance = potstill_allocate(1, sizeof *instance);
    instance->options = potstill_options_of(potstill_plugin.options, settings, count);
    instance->self = potstill_allocate(1, potstill_plugin.size);
    *error = potstill_plugin.init(instance->self, task, instance->options);
    if (*error) {
        potstill_objective_drop(instance);
        return NULL;
    }
    instance->part_count = potstill_plugin.theta ? potstill_plugin.theta(instance->self, task, instance->parts)
                                                 : potstill_default_theta(task, instance->parts);
    if (instance->part_count > POTSTILL_MOST_PARTS) potstill_fail("more parts of theta than POTSTILL_MOST_PARTS");
    return instance;
}

void potstill_objective_drop(potstill_instance *instance) {
    if (potstill_plugin.drop) potstill_plugin.drop(instance->self);
    potstill_options_drop(instance->options);
    free(instance->self);
    free(instance);
}

const potstill_meta_parameter *potstill_objective_theta(const potstill_instance *instance, size_t *count) {
    *count = instance->part_count;
    return instance->parts;
}

void potstill_objective_inner(const potstill_instance *instance, const potstill_tensor *theta,
                              const potstill_tensor *fresh, size_t count, potstill_tensor *taught) {
    potstill_theta named = {instance, theta};
    if (potstill_plugin.inner)
        potstill_plugin.inner(instance->self, &named, fresh, count, taught);
    else
        potstill_inner_step(&named, fresh, count, taught);
}

potstill_tensor potstill_objective_outer(const potstill_instance *instance, const potstill_tensor *theta,
                                         potstill_outer *outer) {
    potstill_theta named = {instance, theta};
    outer->theta = &named;
    outer->metric_count = 0;
    return potstill_plugin.outer(instance->self, outer);
}
