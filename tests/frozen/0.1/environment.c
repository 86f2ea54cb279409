/* A corridor of `length` places: 0 goes left, 1 right; the right end pays 1. Built against version 0.1; never edit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "potstill.h"

typedef struct { uint32_t place, steps; } walk;
struct potstill_environments { uint32_t count, length; walk walks[]; };

static const char *last_error(void) { return "the corridor's words"; }

static int32_t make(uint32_t n, const potstill_setting *s, uint32_t count, potstill_environments **out) {
    potstill_environments *e = calloc(1, sizeof *e + n * sizeof(walk));
    if (!e || count != 1 || strcmp(s[0].name, "length") != 0) return free(e), POTSTILL_REFUSED;
    e->count = n, e->length = (uint32_t)s[0].value.integer;
    *out = e;
    return POTSTILL_OK;
}
static void destroy(potstill_environments *e) { free(e); }

static int32_t spec(potstill_environments *e, potstill_spec *out) {
    static const uint32_t shape[] = {1};
    static const float low[] = {0.0f}, high[] = {1.0f};
    (void)e;
    if (out->struct_size < sizeof *out) return POTSTILL_FAILED;
    out->max_episode_steps = 50;
    out->observation = (potstill_space){POTSTILL_BOX, 0, 1, 1, shape, low, high};
    out->action = (potstill_space){.kind = POTSTILL_DISCRETE, .n = 2};
    out->reward_threshold = NAN;
    out->max_return = 1.0f;
    return POTSTILL_OK;
}

static float seen(const potstill_environments *e, uint32_t i) {
    return (float)e->walks[i].place / (float)(e->length - 1);
}

static int32_t reset(potstill_environments *e, const uint64_t *seeds, void *observations) {
    for (uint32_t i = 0; i < e->count; i++) {
        e->walks[i] = (walk){.place = (uint32_t)(seeds[i] % (e->length - 1))};
        ((float *)observations)[i] = seen(e, i);
    }
    return POTSTILL_OK;
}

static int32_t step(potstill_environments *e, const void *actions, potstill_transition *t) {
    float *final = t->final_observations;
    if (t->struct_size < sizeof *t) return POTSTILL_FAILED;
    for (uint32_t i = 0; i < e->count; i++) {
        walk *w = &e->walks[i];
        if (((const uint32_t *)actions)[i] == 1) w->place++;
        else if (w->place > 0) w->place--;
        t->terminated[i] = w->place == e->length - 1;
        t->truncated[i] = !t->terminated[i] && ++w->steps == 50;
        t->rewards[i] = t->terminated[i];
        if (t->terminated[i] || t->truncated[i]) *final++ = seen(e, i), *w = (walk){0, 0};
        ((float *)t->observations)[i] = seen(e, i);
    }
    return POTSTILL_OK;
}

static int32_t snapshot(potstill_environments *e, const uint8_t **bytes, size_t *length) {
    *bytes = (const uint8_t *)e->walks, *length = e->count * sizeof(walk);
    return POTSTILL_OK;
}
static int32_t restore(potstill_environments *e, const uint8_t *bytes, size_t length) {
    if (length != e->count * sizeof(walk)) return POTSTILL_REFUSED;
    memcpy(e->walks, bytes, length);
    return POTSTILL_OK;
}

static const potstill_environment functions = {
    .struct_size = sizeof functions, .make = make, .destroy = destroy, .spec = spec, .reset = reset, .step = step,
    .snapshot = snapshot, .restore = restore};
static const potstill_option options[] = {
    {.name = "length", .help = "Places.", .default_value = {.kind = POTSTILL_INTEGER, .integer = 9},
     .integer_min = 2, .integer_max = 99}};
static const potstill_plugin_description description = {
    .magic = POTSTILL_MAGIC, .abi_major = POTSTILL_ABI_MAJOR, .abi_minor = POTSTILL_ABI_MINOR,
    .struct_size = sizeof description, .role = POTSTILL_ENVIRONMENT, .id = "frozen/corridor-v1", .version = "0.1.0",
    .summary = "A corridor.", .options = options, .option_count = 1, .functions = &functions, .last_error = last_error};

POTSTILL_EXPORT const potstill_plugin_description *potstill_plugin(const potstill_host *host) {
    return host->magic == POTSTILL_MAGIC && host->struct_size >= sizeof *host ? &description : NULL;
}
