/* A game with pictures and three lives, for tests of the host's wrappers. tests/python/wrappers.py has the same rules. All
 * randomness is one linear congruential generator a copy, which only `reset` seeds. -DBOX makes observations numbers.
 */
#include <stdlib.h>

#include "potstill.h"

enum { ROWS = 5, COLUMNS = 7, SIZE = ROWS * COLUMNS, LIVES = 3, LIMIT = 40 };

#ifdef BOX
typedef float scalar;
#else
typedef uint8_t scalar;
#endif

typedef struct {
    uint32_t state, step, lives;
} copy;

struct potstill_environments {
    uint32_t count;
    copy copies[];
};

static const char *last_error(void) { return "no memory"; }

static void start(copy *c) { c->step = 0, c->lives = LIVES; }

static void draw(const copy *c, scalar *picture) {
    for (uint32_t i = 0; i < SIZE; i++) picture[i] = ((c->state >> 16) ^ (i * 37 + c->step * 11)) & 255;
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
    static const uint32_t shape[] = {ROWS, COLUMNS};
    (void)e;
    s->max_episode_steps = LIMIT;
#ifdef BOX
    static const float low[] = {0.0f}, high[] = {255.0f};
    s->observation = (potstill_space){
        .kind = POTSTILL_BOX, .rank = 2, .shape = shape, .bounds = 1, .low = low, .high = high};
#else
    s->observation = (potstill_space){.kind = POTSTILL_IMAGE, .rank = 2, .shape = shape};
#endif
    s->action = (potstill_space){.kind = POTSTILL_DISCRETE, .n = 2};
    return POTSTILL_OK;
}

static int32_t reset(potstill_environments *e, const uint64_t *seeds, void *observations) {
    for (uint32_t i = 0; i < e->count; i++) {
        e->copies[i].state = (uint32_t)seeds[i] * 2654435761u;
        start(&e->copies[i]);
        draw(&e->copies[i], (scalar *)observations + i * SIZE);
    }
    return POTSTILL_OK;
}

static int32_t step(potstill_environments *e, const void *actions, potstill_transition *t) {
    scalar *final = t->final_observations;
    for (uint32_t i = 0; i < e->count; i++) {
        copy *c = &e->copies[i];
        c->state = c->state * 1664525u + 1013904223u + ((const uint32_t *)actions)[i];
        c->step++;
        t->rewards[i] = (float)((c->state >> 20) % 7) - 3.0f;
        int hit = (c->state >> 24) % 6 == 0;
        if (hit) c->lives--;
        t->terminated[i] = c->lives == 0;
        t->truncated[i] = !t->terminated[i] && c->step == LIMIT;
        int ended = t->terminated[i] || t->truncated[i];
        if (t->struct_size >= sizeof *t && t->lives_lost) t->lives_lost[i] = hit && !ended;
        if (ended) {
            draw(c, final);
            final += SIZE;
            start(c);
        }
        draw(c, (scalar *)t->observations + i * SIZE);
    }
    return POTSTILL_OK;
}

POTSTILL_EXPORT const potstill_plugin_description *potstill_plugin(const potstill_host *host) {
    static const potstill_environment functions = {
        .struct_size = sizeof functions, .make = make, .destroy = destroy, .spec = spec, .reset = reset, .step = step,
    };
    static const potstill_plugin_description description = {
        .magic = POTSTILL_MAGIC, .abi_major = POTSTILL_ABI_MAJOR, .abi_minor = POTSTILL_ABI_MINOR,
        .struct_size = sizeof description, .role = POTSTILL_ENVIRONMENT, .id = "test/lives-v1", .version = "0.1.0",
        .summary = "A game of chance with three lives.", .functions = &functions, .last_error = last_error,
    };
    (void)host;
    return &description;
}
