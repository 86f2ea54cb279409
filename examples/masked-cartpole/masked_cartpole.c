/* Cart-pole that shows positions and angles but hides velocities, which an agent without memory cannot infer. The dynamics
 * are those of Gymnasium's CartPole-v1, in the order of its operations. */
#include <math.h>

#include "potstill_environment.h"

static const double FORCE = 10, GRAVITY = 9.8, POLE_MASS = 0.1, TOTAL_MASS = 0.1 + 1.0, LENGTH = 0.5;
static const double SECONDS_PER_STEP = 0.02, POSITION_LIMIT = 2.4;
static const double ANGLE_LIMIT = 12 * 2 * 3.14159265358979323846 / 360;

typedef struct {
    double position, velocity, angle, angular_velocity;
} cartpole;

static const char *init(void *self, const potstill_options *options) {
    (void)self, (void)options;
    return NULL;
}

static potstill_spec spec(const void *self) {
    (void)self;
    static float low[2], high[2];
    high[0] = (float)(2 * POSITION_LIMIT);
    high[1] = (float)(2 * ANGLE_LIMIT);
    for (int i = 0; i < 2; i++) low[i] = -high[i];
    potstill_spec spec = {
        .observation = potstill_box_of(2, low, high),
        .action = potstill_discrete(2),
        .max_episode_steps = 500,
        .max_return = potstill_some(500),
    };
    return spec;
}

static void observe(const cartpole *c, potstill_observation observation) {
    observation.values[0] = (float)c->position;
    observation.values[1] = (float)c->angle;
}

static void reset(void *self, potstill_rng *rng, potstill_observation observation) {
    cartpole *c = self;
    c->position = potstill_uniform_in(rng, -0.05, 0.05);
    c->velocity = potstill_uniform_in(rng, -0.05, 0.05);
    c->angle = potstill_uniform_in(rng, -0.05, 0.05);
    c->angular_velocity = potstill_uniform_in(rng, -0.05, 0.05);
    observe(c, observation);
}

static potstill_step step(void *self, potstill_action action, potstill_rng *rng, potstill_observation observation) {
    (void)rng;
    cartpole *c = self;
    double force = action.choice == 1 ? FORCE : -FORCE, sine = sin(c->angle), cosine = cos(c->angle);
    double pole = POLE_MASS * LENGTH;
    double temp = (force + pole * (c->angular_velocity * c->angular_velocity) * sine) / TOTAL_MASS;
    double angular_acceleration = (GRAVITY * sine - cosine * temp) /
                                  (LENGTH * (4.0 / 3.0 - POLE_MASS * (cosine * cosine) / TOTAL_MASS));
    double acceleration = temp - pole * angular_acceleration * cosine / TOTAL_MASS;
    c->position += SECONDS_PER_STEP * c->velocity;
    c->velocity += SECONDS_PER_STEP * acceleration;
    c->angle += SECONDS_PER_STEP * c->angular_velocity;
    c->angular_velocity += SECONDS_PER_STEP * angular_acceleration;
    observe(c, observation);
    bool fell = fabs(c->position) > POSITION_LIMIT || fabs(c->angle) > ANGLE_LIMIT;
    potstill_step step = {.reward = 1, .terminated = fell};
    return step;
}

const potstill_environment potstill_plugin = {
    .id = "examples/masked-cartpole-v1",
    .version = "0.1.0",
    .summary = "Cart-pole that shows position and angle and hides the velocities.",
    .size = sizeof(cartpole),
    .init = init,
    .spec = spec,
    .reset = reset,
    .step = step,
    .plain = true,
};
