/* Implements the N copies of an environment, as vectorised.rs does in the Rust SDK. */
#include "potstill_environment.h"

#include <stdlib.h>
#include <string.h>

/* Returns the number of scalars in one sample. */
static size_t size_of(const potstill_space *space) {
    size_t size = 1;
    for (uint32_t i = 0; i < space->rank; i++) size *= space->shape[i];
    return size;
}

struct potstill_copies {
    uint32_t n;
    potstill_spec spec;
    size_t size, bytes, components;
    potstill_options *options;
    unsigned char *selves;
    uint32_t made;
    potstill_rng *rngs;
    uint32_t *steps;
    unsigned char *finals;
};

static void *self_of(const potstill_copies *copies, uint32_t i) {
    return copies->selves + potstill_plugin.size * i;
}

static potstill_observation row_of(void *observations, size_t bytes, size_t i) {
    potstill_observation row;
    row.pixels = (uint8_t *)observations + bytes * i;
    return row;
}

potstill_copies *potstill_make(uint32_t num_envs, const potstill_setting *settings, size_t count, const char **error) {
    potstill_copies *copies = potstill_allocate(1, sizeof *copies);
    *error = num_envs ? NULL : "at least one environment is needed";
    copies->n = num_envs;
    copies->options = potstill_options_of(potstill_plugin.options, settings, count);
    copies->selves = potstill_allocate(num_envs, potstill_plugin.size);
    while (!*error && copies->made < num_envs)
        *error = potstill_plugin.init(self_of(copies, copies->made++), copies->options);
    if (*error) {
        potstill_drop(copies);
        return NULL;
    }
    copies->spec = potstill_plugin.spec(copies->selves);
    copies->size = size_of(&copies->spec.observation);
    copies->bytes = copies->size * (copies->spec.observation.kind == POTSTILL_IMAGE ? 1 : sizeof(float));
    copies->components = size_of(&copies->spec.action);
    copies->rngs = potstill_allocate(num_envs, sizeof(potstill_rng));
    copies->steps = potstill_allocate(num_envs, sizeof(uint32_t));
    copies->finals = potstill_allocate(num_envs, copies->bytes);
    return copies;
}

void potstill_drop(potstill_copies *copies) {
    for (uint32_t i = 0; potstill_plugin.drop && i < copies->made; i++) potstill_plugin.drop(self_of(copies, i));
    potstill_options_drop(copies->options);
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
    if (count != copies->n) return "expected one seed for each environment";
    for (uint32_t i = 0; i < copies->n; i++) {
        copies->rngs[i] = potstill_seeded(seeds[i]);
        start(copies, i, row_of(observations, copies->bytes, i));
    }
    return NULL;
}

const char *potstill_take_step(potstill_copies *copies, const void *actions, size_t count, potstill_transition *out) {
    size_t components = copies->components;
    if (count != components * copies->n) return "expected one action for each environment";
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
    if (index >= copies->n) return "there is no environment with this index";
    if (!potstill_plugin.render) return "this environment does not draw";
    memset(frame, 0, sizeof *frame);
    return potstill_plugin.render(self_of(copies, index), mode, frame);
}

/* A snapshot is this header, then the random states, the step counts and the bytes of all copies in native byte order,
 * which in WebAssembly is always little-endian. */
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
    uint8_t *state = potstill_allocate(*length, 1), *at = state;
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
        return "this is not a snapshot of this environment with this number of copies";
    memcpy(copies->rngs, state += sizeof head, rngs);
    memcpy(copies->steps, state += rngs, steps);
    memcpy(copies->selves, state + steps, selves);
    return NULL;
}
