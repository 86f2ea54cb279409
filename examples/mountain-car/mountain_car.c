/* Gymnasium's MountainCar-v0 (Moore 1990) as a native plugin in plain C:
 *
 *     potstill plugin build examples/mountain-car
 *     potstill --plugin examples/mountain-car distill acme/mountain-car
 */
#include <math.h>
#include <stdlib.h>

#include "potstill.h"

enum { LIMIT = 200 };

typedef struct {
    double position, velocity;
    uint64_t random;
    uint32_t steps;
} car;

struct potstill_environments {
    uint32_t count;
    double force;
    car cars[];
};

static const char *error = "";

static const char *last_error(void) { return error; }

/* SplitMix64, one stream for each copy. */
static double uniform(car *c) {
    uint64_t z = c->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

static void start(car *c) {
    c->position = -0.6 + 0.2 * uniform(c);
    c->velocity = 0.0;
    c->steps = 0;
}

static void observe(const car *c, float *observation) {
    observation[0] = (float)c->position;
    observation[1] = (float)c->velocity;
}

static int32_t make(uint32_t count, const potstill_setting *settings, uint32_t setting_count,
                    potstill_environments **out) {
    potstill_environments *e = calloc(1, sizeof *e + count * sizeof(car));
    if (!e || setting_count != 1) {
        free(e);
        error = "no memory for so many cars";
        return POTSTILL_REFUSED;
    }
    e->count = count;
    e->force = settings[0].value.number; /* the host has checked it against the option below */
    *out = e;
    return POTSTILL_OK;
}

static void destroy(potstill_environments *e) { free(e); }

static int32_t spec(potstill_environments *e, potstill_spec *out) {
    static const uint32_t shape[] = {2};
    static const float low[] = {-1.2f, -0.07f}, high[] = {0.6f, 0.07f};
    (void)e;
    out->max_episode_steps = LIMIT;
    out->observation = (potstill_space){POTSTILL_BOX, 0, 1, 2, shape, low, high};
    out->action = (potstill_space){.kind = POTSTILL_DISCRETE, .n = 3};
    out->reward_threshold = -110.0f;
    out->max_return = NAN;
    return POTSTILL_OK;
}

static int32_t reset(potstill_environments *e, const uint64_t *seeds, void *observations) {
    for (uint32_t i = 0; i < e->count; i++) {
        e->cars[i].random = seeds[i];
        start(&e->cars[i]);
        observe(&e->cars[i], (float *)observations + 2 * i);
    }
    return POTSTILL_OK;
}

static int32_t step(potstill_environments *e, const void *actions, potstill_transition *t) {
    float *final = t->final_observations;
    for (uint32_t i = 0; i < e->count; i++) {
        car *c = &e->cars[i];
        float *observation = (float *)t->observations + 2 * i;
        c->velocity += ((double)((const uint32_t *)actions)[i] - 1.0) * e->force - 0.0025 * cos(3.0 * c->position);
        c->velocity = fmin(fmax(c->velocity, -0.07), 0.07);
        c->position = fmin(fmax(c->position + c->velocity, -1.2), 0.6);
        if (c->position == -1.2 && c->velocity < 0.0) c->velocity = 0.0;
        c->steps++;
        t->rewards[i] = -1.0f;
        t->terminated[i] = c->position >= 0.5;
        t->truncated[i] = !t->terminated[i] && c->steps >= LIMIT;
        observe(c, observation);
        if (t->terminated[i] || t->truncated[i]) { /* saves the last observation and starts the next episode */
            *final++ = observation[0];
            *final++ = observation[1];
            start(c);
            observe(c, observation);
        }
    }
    return POTSTILL_OK;
}

static const potstill_environment functions = {
    .struct_size = sizeof functions, .make = make, .destroy = destroy, .spec = spec, .reset = reset, .step = step};

static const potstill_option options[] = {{.name = "force",
                                           .help = "Change of the velocity by a push.",
                                           .default_value = {.kind = POTSTILL_NUMBER, .number = 0.001},
                                           .number_min = 0.0,
                                           .number_max = 1.0}};

static const potstill_plugin_description description = {.magic = POTSTILL_MAGIC,
                                                        .abi_major = POTSTILL_ABI_MAJOR,
                                                        .abi_minor = POTSTILL_ABI_MINOR,
                                                        .struct_size = sizeof description,
                                                        .role = POTSTILL_ENVIRONMENT,
                                                        .id = "acme/mountain-car-v1",
                                                        .version = "0.1.0",
                                                        .summary = "A weak car in a valley; Gymnasium's MountainCar-v0.",
                                                        .options = options,
                                                        .option_count = 1,
                                                        .functions = &functions,
                                                        .last_error = last_error};

POTSTILL_EXPORT const potstill_plugin_description *potstill_plugin(const potstill_host *host) {
    (void)host;
    return &description;
}
