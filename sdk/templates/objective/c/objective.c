/* Advantage actor-critic (Mnih et al. 2016) as the outer loss. Replace it with your loss or your inner rule. */
#include "potstill_objective.h"

/* The objective with its hyperparameters. */
typedef struct {
    double entropy;
} actor_critic;

static const potstill_option options[] = {
    POTSTILL_NUMBER_OPTION("entropy", "Weight of the entropy bonus.", 0, 1000, 0.01),
    {0},
};

static const char *init(void *self, const potstill_task *task, const potstill_options *given) {
    (void)task;
    ((actor_critic *)self)->entropy = potstill_number(given, "entropy");
    return NULL;
}

static potstill_tensor outer(const void *self, potstill_outer *outer) {
    potstill_tensor outputs = potstill_outputs(outer);
    potstill_tensor advantages = potstill_normalized(potstill_column(outer, "advantages"));
    potstill_tensor log_prob = potstill_log_prob(outputs, potstill_column(outer, "actions"));
    potstill_tensor policy_loss = potstill_neg(potstill_mean(potstill_mul(log_prob, advantages)));
    potstill_tensor entropy = potstill_mean(potstill_entropy(outputs));
    potstill_metric(outer, "policy_loss", policy_loss);
    potstill_metric(outer, "entropy", entropy);
    double weight = ((const actor_critic *)self)->entropy;
    return potstill_sub(policy_loss, potstill_mul_number(entropy, weight));
}

const potstill_objective potstill_plugin = {
    .id = "{{id}}",
    .version = "0.1.0",
    .summary = "Advantage actor-critic as the outer loss.",
    .options = options,
    .columns = {"observations", "actions", "advantages"}, /* The columns that `outer` reads. The host computes only these. */
    .size = sizeof(actor_critic),
    .init = init,
    .outer = outer,
};
