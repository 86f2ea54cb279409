/* What the author of a Potstill environment writes against, in C.
 *
 * An author writes *one* environment: how it starts, what a step does. The SDK makes N copies of it, gives each its
 * own random stream, resets those whose episode ended in the same step (keeping the final observation), enforces the
 * time limit and speaks the contract. It behaves as the Rust SDK does, to the bit.
 *
 * A plugin is one definition of `potstill_plugin`, in any .c file of its folder; `potstill plugin build` compiles all
 * of them, except `test*.c`, with the C files of this SDK.
 *
 * Rules:
 * - Draw random numbers from the `potstill_rng` you are handed and from nowhere else: equal seeds must give equal
 *   episodes. Keep all state in the copy, none in globals.
 * - Observations and rewards are finite; the host ends a plugin that gives a NaN.
 * - There is no operating system: `printf`, `assert`, files and clocks do not build. Use `potstill_fail`.
 * - Texts that a function returns must stay valid until it is called again: literals do.
 */
#ifndef POTSTILL_ENVIRONMENT_H
#define POTSTILL_ENVIRONMENT_H

#include "potstill_common.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- One environment ------------------------------------------------------------------------------------------- */

/* A figure that there may be: `potstill_some(475)`, or nothing when left out. */
typedef struct {
    bool is_some;
    float value;
} potstill_maybe;

static inline potstill_maybe potstill_some(float value) {
    potstill_maybe some = {true, value};
    return some;
}

/* What one copy is, once its options are set. */
typedef struct {
    /* A box or an image. */
    potstill_space observation;
    /* Discrete, multi-discrete or a box. */
    potstill_space action;
    /* Steps after which the SDK truncates an episode; 0 for no limit. */
    uint32_t max_episode_steps;
    /* The return that counts as solved, when the field has agreed on one. */
    potstill_maybe reward_threshold;
    /* The return no episode exceeds, when there is one: a run whose validations all reach it is done. */
    potstill_maybe max_return;
} potstill_spec;

/* The action of one copy; which member holds it, the action space says. The host has checked it. */
typedef union {
    /* Discrete. */
    uint32_t choice;
    /* Multi-discrete: one per component. */
    const uint32_t *choices;
    /* Box: finite, and not clamped to the bounds. */
    const float *values;
} potstill_action;

/* Where to write the observation of one copy, all of it. */
typedef union {
    /* Box. */
    float *values;
    /* Image. */
    uint8_t *pixels;
} potstill_observation;

/* What one step gave, beside the observation. */
typedef struct {
    /* Finite; of this step, also where the episode ended. */
    float reward;
    /* The episode reached a terminal state. */
    bool terminated;
    /* The episode was cut short without reaching one. Leave `max_episode_steps` to the SDK. */
    bool truncated;
} potstill_step;

typedef enum { POTSTILL_RGB, POTSTILL_LINES } potstill_render_mode;

/* A picture: allocate with `malloc`; the SDK frees it. */
typedef struct {
    /* POTSTILL_RGB: three bytes a pixel, row by row from the top left. */
    uint32_t width, height;
    uint8_t *pixels;
    /* POTSTILL_LINES: UTF-8 for a terminal, ended by a zero byte. */
    char *text;
} potstill_frame;

/* One environment. `self` is a copy: `size` bytes, all zero before `init`. */
typedef struct {
    /* As in plugin.toml. A change of dynamics, rewards or defaults is a new `N` of `-vN`. */
    const char *id, *version;
    /* One sentence. */
    const char *summary;
    /* Ended by an option whose name is NULL; or NULL for none. */
    const potstill_option *options;
    /* sizeof the copy's struct. */
    size_t size;
    /* Reads the options. NULL, or why they do not go together, in words for the user. */
    const char *(*init)(void *self, const potstill_options *options);
    potstill_spec (*spec)(const void *self);
    /* Starts an episode and writes its first observation. */
    void (*reset)(void *self, potstill_rng *rng, potstill_observation observation);
    /* Takes one step and writes the observation after it, also where the episode ends. */
    potstill_step (*step)(void *self, potstill_action action, potstill_rng *rng, potstill_observation observation);
    /* Optional: draws the copy as it is now. NULL, or why not, e.g. that only the other mode is supported. */
    const char *(*render)(const void *self, potstill_render_mode mode, potstill_frame *frame);
    /* Optional: releases what `init` allocated. */
    void (*drop)(void *self);
    /* The copy holds no pointer, so its bytes are its whole state: gives snapshots, with which a killed run resumes
     * exactly. */
    bool plain;
} potstill_environment;

/* The plugin. Define it once. */
extern const potstill_environment potstill_plugin;

/* ---- N copies: what the component is made of, and what tests step ---------------------------------------------- */

typedef struct potstill_copies potstill_copies;

/* What a step of all copies gave; the arrays are the caller's, except `final_observations`. Observations are `float`
 * or `uint8_t`, as the space says, row by row. */
typedef struct {
    void *observations;
    float *rewards;
    uint8_t *terminated, *truncated;
    /* Rows of the episodes that ended, `ended` of them; valid until the next step. */
    const void *final_observations;
    uint32_t ended;
} potstill_transition;

/* N copies of `potstill_plugin`, with `settings` and otherwise the defaults. NULL and `error` when refused. */
potstill_copies *potstill_make(uint32_t num_envs, const potstill_setting *settings, size_t count, const char **error);
void potstill_drop(potstill_copies *copies);
const potstill_spec *potstill_spec_of(const potstill_copies *copies);
/* Elements and bytes of one observation; values of one action. */
size_t potstill_observation_size(const potstill_copies *copies);
size_t potstill_observation_bytes(const potstill_copies *copies);
size_t potstill_action_size(const potstill_copies *copies);
/* Starts an episode in every copy with its own seed. NULL, or what was wrong. */
const char *potstill_reset(potstill_copies *copies, const uint64_t *seeds, size_t count, void *observations);
/* Takes a step in every copy: `uint32_t` or `float` actions, row by row. NULL, or what was wrong. */
const char *potstill_take_step(potstill_copies *copies, const void *actions, size_t count, potstill_transition *out);
/* NULL, or why not. */
const char *potstill_render(potstill_copies *copies, uint32_t index, potstill_render_mode mode, potstill_frame *frame);
/* The whole state in a block from `malloc`; NULL where the plugin is not `plain`. */
uint8_t *potstill_snapshot(const potstill_copies *copies, size_t *length);
/* NULL, or what was wrong. */
const char *potstill_restore(potstill_copies *copies, const uint8_t *state, size_t length);

#ifdef __cplusplus
}
#endif
#endif
