/* N copies of an environment, and their random streams. The counterpart of the Rust SDK's vectorised.rs and rng.rs. */
#include "potstill_environment.h"

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

/* The upper half of a 128-bit product, by hand: not every compiler for WebAssembly brings 128-bit arithmetic. */
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

/* Scalars in one sample. */
static size_t size_of(const potstill_space *space) {
    size_t size = 1;
    for (uint32_t i = 0; i < space->rank; i++) size *= space->shape[i];
    return size;
}

/* ---- Options --------------------------------------------------------------------------------------------------- */

struct potstill_options {
    const potstill_option *declared;
    potstill_value *values;
};

static potstill_value option(const potstill_options *options, const char *name, potstill_option_kind kind) {
    for (size_t i = 0; options->declared && options->declared[i].name; i++)
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

/* ---- Copies ---------------------------------------------------------------------------------------------------- */

struct potstill_copies {
    uint32_t n;
    potstill_spec spec;
    size_t size, bytes, components;
    potstill_options options;
    /* Texts of the options, which the caller's settings need not outlive. */
    char **texts;
    size_t num_options;
    unsigned char *selves;
    uint32_t made;
    potstill_rng *rngs;
    uint32_t *steps;
    unsigned char *finals;
};

static void *allocate(size_t count, size_t size) {
    void *block = calloc(count ? count : 1, size ? size : 1);
    if (!block) potstill_fail("out of memory");
    return block;
}

static void *self_of(const potstill_copies *copies, uint32_t i) {
    return copies->selves + potstill_plugin.size * i;
}

static potstill_observation row_of(void *observations, size_t bytes, size_t i) {
    potstill_observation row;
    row.pixels = (uint8_t *)observations + bytes * i;
    return row;
}

static void read_options(potstill_copies *copies, const potstill_setting *settings, size_t count) {
    const potstill_option *declared = potstill_plugin.options;
    size_t num = 0;
    while (declared && declared[num].name) num++;
    copies->num_options = num;
    copies->options.declared = declared;
    copies->options.values = allocate(num, sizeof(potstill_value));
    copies->texts = allocate(num, sizeof(char *));
    for (size_t i = 0; i < num; i++) {
        potstill_value value = declared[i].fallback;
        for (size_t j = 0; j < count; j++)
            if (strcmp(settings[j].name, declared[i].name) == 0) value = settings[j].value;
        if (declared[i].kind == POTSTILL_TEXT) {
            size_t length = strlen(value.text) + 1;
            copies->texts[i] = allocate(length, 1);
            value.text = memcpy(copies->texts[i], value.text, length);
        }
        copies->options.values[i] = value;
    }
}

potstill_copies *potstill_make(uint32_t num_envs, const potstill_setting *settings, size_t count, const char **error) {
    potstill_copies *copies = allocate(1, sizeof *copies);
    *error = num_envs ? NULL : "at least one environment is needed";
    copies->n = num_envs;
    read_options(copies, settings, count);
    copies->selves = allocate(num_envs, potstill_plugin.size);
    while (!*error && copies->made < num_envs)
        *error = potstill_plugin.init(self_of(copies, copies->made++), &copies->options);
    if (*error) {
        potstill_drop(copies);
        return NULL;
    }
    copies->spec = potstill_plugin.spec(copies->selves);
    copies->size = size_of(&copies->spec.observation);
    copies->bytes = copies->size * (copies->spec.observation.kind == POTSTILL_IMAGE ? 1 : sizeof(float));
    copies->components = size_of(&copies->spec.action);
    copies->rngs = allocate(num_envs, sizeof(potstill_rng));
    copies->steps = allocate(num_envs, sizeof(uint32_t));
    copies->finals = allocate(num_envs, copies->bytes);
    return copies;
}

void potstill_drop(potstill_copies *copies) {
    for (uint32_t i = 0; potstill_plugin.drop && i < copies->made; i++) potstill_plugin.drop(self_of(copies, i));
    for (size_t i = 0; i < copies->num_options; i++) free(copies->texts[i]);
    free(copies->texts);
    free(copies->options.values);
    free(copies->selves);
    free(copies->rngs);
    free(copies->steps);
    free(copies->finals);
    free(copies);
}

const potstill_spec *potstill_spec_of(const potstill_copies *copies) { return &copies->spec; }
size_t potstill_observation_size(const potstill_copies *copies) { return copies->size; }
size_t potstill_observation_bytes(const potstill_copies *copies) { return copies->bytes; }
size_t potstill_action_size(const potstill_copies *copies) { return copies->components; }

static void start(potstill_copies *copies, uint32_t i, potstill_observation row) {
    copies->steps[i] = 0;
    potstill_plugin.reset(self_of(copies, i), &copies->rngs[i], row);
}

const char *potstill_reset(potstill_copies *copies, const uint64_t *seeds, size_t count, void *observations) {
    if (count != copies->n) return "not one seed for each environment";
    for (uint32_t i = 0; i < copies->n; i++) {
        copies->rngs[i] = potstill_seeded(seeds[i]);
        start(copies, i, row_of(observations, copies->bytes, i));
    }
    return NULL;
}

const char *potstill_take_step(potstill_copies *copies, const void *actions, size_t count, potstill_transition *out) {
    size_t components = copies->components;
    if (count != components * copies->n) return "not one action for each environment";
    uint32_t limit = copies->spec.max_episode_steps ? copies->spec.max_episode_steps : UINT32_MAX;
    out->ended = 0;
    out->final_observations = copies->finals;
    for (uint32_t i = 0; i < copies->n; i++) {
        potstill_action action;
        switch (copies->spec.action.kind) {
        case POTSTILL_DISCRETE: action.choice = ((const uint32_t *)actions)[i]; break;
        case POTSTILL_MULTI_DISCRETE: action.choices = (const uint32_t *)actions + components * i; break;
        default: action.values = (const float *)actions + components * i;
        }
        potstill_observation row = row_of(out->observations, copies->bytes, i);
        potstill_step step = potstill_plugin.step(self_of(copies, i), action, &copies->rngs[i], row);
        if (copies->steps[i] < UINT32_MAX) copies->steps[i]++;
        bool cut = !step.terminated && (step.truncated || copies->steps[i] >= limit);
        out->rewards[i] = step.reward;
        out->terminated[i] = step.terminated;
        out->truncated[i] = cut;
        if (step.terminated || cut) {
            memcpy(copies->finals + copies->bytes * out->ended++, row.pixels, copies->bytes);
            start(copies, i, row);
        }
    }
    return NULL;
}

const char *potstill_render(potstill_copies *copies, uint32_t index, potstill_render_mode mode, potstill_frame *frame) {
    if (index >= copies->n) return "there is no environment of this number";
    if (!potstill_plugin.render) return "this environment does not draw";
    memset(frame, 0, sizeof *frame);
    return potstill_plugin.render(self_of(copies, index), mode, frame);
}

/* A snapshot is this, then for each copy its random state, its steps and its bytes, as this machine holds them: it is
 * read by WebAssembly, which is little-endian everywhere. */
typedef struct {
    char magic[8];
    uint64_t copies, size;
} header;

static header header_of(const potstill_copies *copies) {
    header head = {.magic = "PSTILLC", .copies = copies->n, .size = potstill_plugin.size};
    head.magic[7] = 1;
    return head;
}

uint8_t *potstill_snapshot(const potstill_copies *copies, size_t *length) {
    if (!potstill_plugin.plain) return NULL;
    header head = header_of(copies);
    size_t rngs = copies->n * sizeof(potstill_rng), steps = copies->n * sizeof(uint32_t);
    size_t selves = copies->n * potstill_plugin.size;
    *length = sizeof head + rngs + steps + selves;
    uint8_t *state = allocate(*length, 1), *at = state;
    memcpy(at, &head, sizeof head);
    memcpy(at += sizeof head, copies->rngs, rngs);
    memcpy(at += rngs, copies->steps, steps);
    memcpy(at + steps, copies->selves, selves);
    return state;
}

const char *potstill_restore(potstill_copies *copies, const uint8_t *state, size_t length) {
    if (!potstill_plugin.plain) return "this environment has no snapshots";
    header head = header_of(copies);
    size_t rngs = copies->n * sizeof(potstill_rng), steps = copies->n * sizeof(uint32_t);
    size_t selves = copies->n * potstill_plugin.size;
    if (length != sizeof head + rngs + steps + selves || memcmp(state, &head, sizeof head) != 0)
        return "this is not a snapshot of this environment with as many copies";
    memcpy(copies->rngs, state += sizeof head, rngs);
    memcpy(copies->steps, state += rngs, steps);
    memcpy(copies->selves, state + steps, selves);
    return NULL;
}
