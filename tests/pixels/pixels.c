/* An environment with pixel observations, for tests. One half of the image is bright, and the action that names this half
 * pays 1. An episode has 20 steps. The size of an image can be set with -DSIDE and -DCHANNELS.
 */
#include <stdlib.h>
#include <string.h>

#include "potstill.h"

#ifndef SIDE
#define SIDE 8
#endif
#ifndef CHANNELS
#define CHANNELS 1
#endif
enum { ROWS = CHANNELS * SIDE, SIZE = ROWS * SIDE, LIMIT = 20 };

typedef struct {
    uint64_t random;
    uint32_t bright, steps;
} copy;

struct potstill_environments {
    uint32_t count;
    copy copies[];
};

static const char *last_error(void) { return "no memory"; }

/* Draws from SplitMix64, with one stream per copy. */
static void turn(copy *c) {
    uint64_t z = c->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    c->bright = (z ^ (z >> 27)) >> 63;
}

static void draw(const copy *c, uint8_t *picture) {
    for (int y = 0; y < ROWS; y++)
        memset(picture + y * SIDE, y % SIDE / (SIDE / 2) == (int)c->bright ? 255 : 20, SIDE);
}

static int32_t make(uint32_t count, const potstill_setting *settings, uint32_t setting_count,
                    potstill_environments **out) {
    (void)settings, (void)setting_count;
    if (!(*out = calloc(1, sizeof **out + count * sizeof(copy)))) return POTSTILL_FAILED;
    (*out)->count = count;
    return POTSTILL_OK;
}

static void destroy(potstill_environments *e) { free(e); }

static int32_t spec(potstill_environments *e, potstill_spec *s) {
    static const uint32_t shape[] = {CHANNELS, SIDE, SIDE};
    (void)e;
    s->max_episode_steps = LIMIT;
    s->observation = (potstill_space){.kind = POTSTILL_IMAGE, .rank = 3, .shape = shape};
    s->action = (potstill_space){.kind = POTSTILL_DISCRETE, .n = 2};
    s->max_return = LIMIT;
    return POTSTILL_OK;
}

static int32_t reset(potstill_environments *e, const uint64_t *seeds, void *observations) {
    for (uint32_t i = 0; i < e->count; i++) {
        e->copies[i] = (copy){.random = seeds[i]};
        turn(&e->copies[i]);
        draw(&e->copies[i], (uint8_t *)observations + i * SIZE);
    }
    return POTSTILL_OK;
}

static int32_t step(potstill_environments *e, const void *actions, potstill_transition *t) {
    uint8_t *final = t->final_observations;
    for (uint32_t i = 0; i < e->count; i++) {
        copy *c = &e->copies[i];
        t->rewards[i] = ((const uint32_t *)actions)[i] == c->bright;
        turn(c);
        t->terminated[i] = 0;
        if ((t->truncated[i] = ++c->steps == LIMIT)) {
            draw(c, final);
            final += SIZE;
            turn(c);
            c->steps = 0;
        }
        draw(c, (uint8_t *)t->observations + i * SIZE);
    }
    return POTSTILL_OK;
}

POTSTILL_EXPORT const potstill_plugin_description *potstill_plugin(const potstill_host *host) {
    static const potstill_environment functions = {
        .struct_size = sizeof functions, .make = make, .destroy = destroy, .spec = spec, .reset = reset, .step = step,
    };
    static const potstill_plugin_description description = {
        .magic = POTSTILL_MAGIC, .abi_major = POTSTILL_ABI_MAJOR, .abi_minor = POTSTILL_ABI_MINOR,
        .struct_size = sizeof description, .role = POTSTILL_ENVIRONMENT, .id = "test/pixels-v1", .version = "0.1.0",
        .summary = "Say which half is bright.", .functions = &functions, .last_error = last_error,
    };
    (void)host;
    return &description;
}
