/* Implements random numbers, spaces and options. The random numbers are those of the Rust SDK's rng.rs. */
#include "potstill_common.h"

#include <stdlib.h>
#include <string.h>

/* ---- Random numbers -------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

potstill_rng potstill_seeded(uint64_t seed) {
    potstill_rng rng = {mix(seed ^ 0x5851f42d4c957f2du)};
    return rng;
}

uint64_t potstill_next(potstill_rng *rng) {
    rng->state += 0x9e3779b97f4a7c15u;
    return mix(rng->state);
}

double potstill_uniform(potstill_rng *rng) {
    return (double)(potstill_next(rng) >> 11) * (1.0 / 9007199254740992.0);
}

double potstill_uniform_in(potstill_rng *rng, double low, double high) {
    return low + (high - low) * potstill_uniform(rng);
}

/* Computes the upper half of the 128-bit product. Not every compiler for WebAssembly supports 128-bit arithmetic. */
static uint64_t multiply_high(uint64_t a, uint64_t b) {
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t middle = a1 * b0 + (a0 * b0 >> 32);
    return a1 * b1 + (middle >> 32) + ((a0 * b1 + (uint32_t)middle) >> 32);
}

uint64_t potstill_below(potstill_rng *rng, uint64_t n) {
    uint64_t rest = n ? (0 - n) % n : 0;
    for (;;) {
        uint64_t bits = potstill_next(rng);
        if (bits * n >= rest) return multiply_high(bits, n);
    }
}

/* ---- Spaces ---------------------------------------------------------------------------------------------------- */

potstill_space potstill_box(uint32_t size, float low, float high) {
    potstill_space space = {.kind = POTSTILL_BOX, .rank = 1, .shape = {size}, .bounds = 1};
    space.same_low = low;
    space.same_high = high;
    return space;
}

potstill_space potstill_box_of(uint32_t size, const float *low, const float *high) {
    potstill_space space = {.kind = POTSTILL_BOX, .rank = 1, .shape = {size}, .bounds = size};
    space.low = low;
    space.high = high;
    return space;
}

potstill_space potstill_discrete(uint32_t n) {
    potstill_space space = {.kind = POTSTILL_DISCRETE, .n = n};
    return space;
}

potstill_space potstill_multi_discrete(uint32_t size, const uint32_t *nvec) {
    potstill_space space = {.kind = POTSTILL_MULTI_DISCRETE, .rank = 1, .shape = {size}, .nvec = nvec};
    return space;
}

potstill_space potstill_image(uint32_t channels, uint32_t height, uint32_t width) {
    potstill_space space = {.kind = POTSTILL_IMAGE, .rank = 3, .shape = {channels, height, width}};
    return space;
}

/* ---- Options --------------------------------------------------------------------------------------------------- */

struct potstill_options {
    const potstill_option *declared;
    /* The values in the order of `declared`. Texts are copies that this struct owns. */
    potstill_value *values;
    size_t count;
};

void *potstill_allocate(size_t count, size_t size) {
    void *block = calloc(count ? count : 1, size ? size : 1);
    if (!block) potstill_fail("out of memory");
    return block;
}

static char *copy_of(const char *text) {
    size_t length = strlen(text) + 1;
    return memcpy(potstill_allocate(length, 1), text, length);
}

potstill_options *potstill_options_of(const potstill_option *declared, const potstill_setting *settings, size_t count) {
    potstill_options *options = potstill_allocate(1, sizeof *options);
    options->declared = declared;
    while (declared && declared[options->count].name) options->count++;
    options->values = potstill_allocate(options->count, sizeof(potstill_value));
    for (size_t i = 0; i < options->count; i++) {
        potstill_value value = declared[i].fallback;
        for (size_t j = 0; j < count; j++)
            if (strcmp(settings[j].name, declared[i].name) == 0) value = settings[j].value;
        if (declared[i].kind == POTSTILL_TEXT) value.text = copy_of(value.text);
        options->values[i] = value;
    }
    return options;
}

void potstill_options_drop(potstill_options *options) {
    for (size_t i = 0; i < options->count; i++)
        if (options->declared[i].kind == POTSTILL_TEXT) free((char *)options->values[i].text);
    free(options->values);
    free(options);
}

static potstill_value option(const potstill_options *options, const char *name, potstill_option_kind kind) {
    for (size_t i = 0; i < options->count; i++)
        if (options->declared[i].kind == kind && strcmp(options->declared[i].name, name) == 0)
            return options->values[i];
    potstill_fail("the plugin reads an option that it does not declare with this type");
}

int64_t potstill_integer(const potstill_options *options, const char *name) {
    return option(options, name, POTSTILL_INTEGER).integer;
}

double potstill_number(const potstill_options *options, const char *name) {
    return option(options, name, POTSTILL_NUMBER).number;
}

bool potstill_boolean(const potstill_options *options, const char *name) {
    return option(options, name, POTSTILL_BOOLEAN).boolean;
}

const char *potstill_text(const potstill_options *options, const char *name) {
    return option(options, name, POTSTILL_TEXT).text;
}
