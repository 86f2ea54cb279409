/* Gymnasium's Pendulum-v1 with two motors, for tests of continuous actions: the torque is the sum of two numbers, each
 * within 1.
 */
#include <math.h>
#include <stdlib.h>

#include "potstill.h"

enum { WIDTH = 3, MOTORS = 2, LIMIT = 200 };

static const double PI = 3.14159265358979323846;

typedef struct {
    uint64_t random;
    double angle, speed;
    uint32_t steps;
} copy;

struct potstill_environments {
    uint32_t count;
    copy copies[];
};

static const char *last_error(void) { return "no memory"; }

/* Draws from SplitMix64 within a bound, with one stream per copy. */
static double within(copy *c, double bound) {
    uint64_t z = c->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return bound * ((double)((z ^ (z >> 31)) >> 11) / 4503599627370496.0 - 1.0);
}

static void start(copy *c) {
    c->angle = within(c, PI);
    c->speed = within(c, 1.0);
    c->steps = 0;
}

static void observe(const copy *c, float *observation) {
    observation[0] = (float)cos(c->angle);
    observation[1] = (float)sin(c->angle);
    observation[2] = (float)c->speed;
}

static double clamped(double value, double bound) { return fmax(-bound, fmin(bound, value)); }

static int32_t make(uint32_t count, const potstill_setting *settings, uint32_t setting_count,
                    potstill_environments **out) {
    (void)settings, (void)setting_count;
    if (!(*out = calloc(1, sizeof **out + count * sizeof(copy)))) return POTSTILL_FAILED;
    (*out)->count = count;
    return POTSTILL_OK;
}

static void destroy(potstill_environments *e) { free(e); }

static int32_t spec(potstill_environments *e, potstill_spec *s) {
    static const uint32_t width[] = {WIDTH}, motors[] = {MOTORS};
    static const float high[] = {1, 1, 8}, low[] = {-1, -1, -8}, one[] = {1}, minus_one[] = {-1};
    (void)e;
    s->max_episode_steps = LIMIT;
    s->observation = (potstill_space){POTSTILL_BOX, 0, 1, WIDTH, width, low, high};
    s->action = (potstill_space){POTSTILL_BOX, 0, 1, 1, motors, minus_one, one};
    return POTSTILL_OK;
}

static int32_t reset(potstill_environments *e, const uint64_t *seeds, void *observations) {
    for (uint32_t i = 0; i < e->count; i++) {
        e->copies[i].random = seeds[i];
        start(&e->copies[i]);
        observe(&e->copies[i], (float *)observations + i * WIDTH);
    }
    return POTSTILL_OK;
}

static int32_t step(potstill_environments *e, const void *actions, potstill_transition *t) {
    float *final = t->final_observations;
    for (uint32_t i = 0; i < e->count; i++) {
        copy *c = &e->copies[i];
        const float *motors = (const float *)actions + i * MOTORS;
        double torque = clamped(motors[0], 1) + clamped(motors[1], 1);
        double off = fmod(c->angle + PI, 2 * PI);
        off += (off < 0 ? 2 * PI : 0) - PI;
        t->rewards[i] = (float)-(off * off + 0.1 * c->speed * c->speed + 0.001 * torque * torque);
        c->speed = clamped(c->speed + (15 * sin(c->angle) + 3 * torque) * 0.05, 8);
        c->angle += c->speed * 0.05;
        t->terminated[i] = 0;
        if ((t->truncated[i] = ++c->steps == LIMIT)) {
            observe(c, final);
            final += WIDTH;
            start(c);
        }
        observe(c, (float *)t->observations + i * WIDTH);
    }
    return POTSTILL_OK;
}

POTSTILL_EXPORT const potstill_plugin_description *potstill_plugin(const potstill_host *host) {
    static const potstill_environment functions = {
        .struct_size = sizeof functions, .make = make, .destroy = destroy, .spec = spec, .reset = reset, .step = step,
    };
    static const potstill_plugin_description description = {
        .magic = POTSTILL_MAGIC, .abi_major = POTSTILL_ABI_MAJOR, .abi_minor = POTSTILL_ABI_MINOR,
        .struct_size = sizeof description, .role = POTSTILL_ENVIRONMENT, .id = "test/pendulum-v1", .version = "0.1.0",
        .summary = "Swing a pendulum up with two motors.", .functions = &functions, .last_error = last_error,
    };
    (void)host;
    return &description;
}
