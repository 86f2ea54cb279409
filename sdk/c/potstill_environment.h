/* The C SDK for authors of Potstill environments.
 *
 * An author writes *one* environment: how an episode starts and what a step does. The SDK makes N copies of it, gives
 * each its own random stream, resets a copy in the same step in which its episode ends (keeping the final observation),
 * enforces the time limit and implements the plugin contract. It behaves exactly like the Rust SDK.
 *
 * A plugin is one definition of `potstill_plugin`, in any .c file of its folder; `potstill plugin build` compiles all
 * of them, except `test*.c`, with the C files of this SDK.
 *
 * Rules:
 * - Draw random numbers only from the `potstill_rng` that you are given: equal seeds must give equal episodes. Keep all
 *   state in the copy and none in global variables.
 * - Observations and rewards must be finite; the host stops a plugin that returns a NaN.
 * - The sandbox has no operating system: `printf`, `assert`, files and clocks do not build. Use `potstill_fail`.
 * - A text that a function returns must stay valid until the next call of that function, as literals do.
 */
#ifndef POTSTILL_ENVIRONMENT_H
#define POTSTILL_ENVIRONMENT_H

#include "potstill_common.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- One environment ------------------------------------------------------------------------------------------- */

/* An optional number: `potstill_some(475)`, or none if it is left out. */
typedef struct {
    bool is_some;
    float value;
} potstill_maybe;

static inline potstill_maybe potstill_some(float value) {
    potstill_maybe some = {true, value};
    return some;
}

/* The specification of one copy, once its options are set. */
typedef struct {
    /* The observation space: a box or an image. */
    potstill_space observation;
    /* The action space: discrete, multi-discrete or a box. */
    potstill_space action;
    /* The number of steps after which the SDK truncates an episode, or 0 for no limit. */
    uint32_t max_episode_steps;
    /* The return at which the environment counts as solved, if there is an agreed one. */
    potstill_maybe reward_threshold;
    /* The highest possible return of an episode, if there is one. A run stops early once all its validations reach it. */
    potstill_maybe max_return;
} potstill_spec;

/* The action of one copy, which the host has checked. The action space determines the member. */
typedef union {
    /* The choice in a discrete space. */
    uint32_t choice;
    /* One choice per component of a multi-discrete space. */
    const uint32_t *choices;
    /* The values in a box, which are finite but not clamped to its bounds. */
    const float *values;
} potstill_action;

/* The place to write the observation of one copy to, which must be filled completely. */
typedef union {
    /* For a box. */
    float *values;
    /* For an image. */
    uint8_t *pixels;
} potstill_observation;

/* The result of one step, apart from the observation. */
typedef struct {
    /* The reward of this step, including a step that ends the episode. Must be finite. */
    float reward;
    /* Whether the episode reached a terminal state. */
    bool terminated;
    /* Whether the episode was cut short without reaching one. The SDK itself enforces `max_episode_steps`. */
    bool truncated;
} potstill_step;

typedef enum { POTSTILL_RGB, POTSTILL_LINES } potstill_render_mode;

/* A rendered frame. Allocate `pixels` or `text` with `malloc`; the SDK frees it. */
typedef struct {
    /* For POTSTILL_RGB: three bytes per pixel, in row-major order from the top left. */
    uint32_t width, height;
    uint8_t *pixels;
    /* For POTSTILL_LINES: UTF-8 lines for a terminal, NUL-terminated. */
    char *text;
} potstill_frame;

/* One environment. `self` is a copy of `size` bytes, which are all zero before `init`. */
typedef struct {
    /* The id and the release, as in plugin.toml. Increase the `N` of `-vN` when dynamics, rewards or defaults change. */
    const char *id, *version;
    /* A description in one sentence. */
    const char *summary;
    /* The options, ended by one whose name is NULL; or NULL for none. */
    const potstill_option *options;
    /* The size of the copy's struct. */
    size_t size;
    /* Reads the options. Returns NULL, or a message for the user if they contradict each other. */
    const char *(*init)(void *self, const potstill_options *options);
    /* Returns the specification of the copy. */
    potstill_spec (*spec)(const void *self);
    /* Starts an episode and writes its first observation. */
    void (*reset)(void *self, potstill_rng *rng, potstill_observation observation);
    /* Takes one step and writes the observation after it, even if the step ends the episode. */
    potstill_step (*step)(void *self, potstill_action action, potstill_rng *rng, potstill_observation observation);
    /* Optional: renders the current state of the copy. Returns NULL, or a message if the mode is not supported. */
    const char *(*render)(const void *self, potstill_render_mode mode, potstill_frame *frame);
    /* Optional: frees what `init` allocated. */
    void (*drop)(void *self);
    /* Whether the copy holds no pointers, so that its bytes are its whole state. The SDK can then take snapshots, from
     * which a killed run resumes exactly. */
    bool plain;
} potstill_environment;

/* The plugin, which the author defines once. */
extern const potstill_environment potstill_plugin;

/* ---- N copies, which the component and tests step -------------------------------------------------------------- */

typedef struct potstill_copies potstill_copies;

/* The result of one step of all copies. The arrays belong to the caller, except `final_observations`. Observations are
 * `float` for a box or `uint8_t` for an image, in row-major order. */
typedef struct {
    void *observations;
    float *rewards;
    uint8_t *terminated, *truncated;
    /* The last observations of the `ended` episodes that ended, valid until the next step. */
    const void *final_observations;
    uint32_t ended;
} potstill_transition;

/* Makes N copies of `potstill_plugin`. Options that are not in `settings` have their defaults. Returns NULL and sets
 * `error` if the plugin rejects the options. */
potstill_copies *potstill_make(uint32_t num_envs, const potstill_setting *settings, size_t count, const char **error);
void potstill_drop(potstill_copies *copies);
const potstill_spec *potstill_spec_of(const potstill_copies *copies);
/* Return the number of elements and of bytes in one observation, and the number of values in one action. */
size_t potstill_observation_size(const potstill_copies *copies);
size_t potstill_observation_bytes(const potstill_copies *copies);
size_t potstill_action_size(const potstill_copies *copies);
/* Starts an episode in every copy, each with its own seed. Returns NULL or an error message. */
const char *potstill_reset(potstill_copies *copies, const uint64_t *seeds, size_t count, void *observations);
/* Takes one step in every copy. `actions` are `uint32_t` or `float` values in row-major order. Returns NULL or an error
 * message. */
const char *potstill_take_step(potstill_copies *copies, const void *actions, size_t count, potstill_transition *out);
/* Renders copy `index`. Returns NULL or an error message. */
const char *potstill_render(potstill_copies *copies, uint32_t index, potstill_render_mode mode, potstill_frame *frame);
/* Returns the whole state in a block that the caller frees, or NULL if the plugin is not `plain`. */
uint8_t *potstill_snapshot(const potstill_copies *copies, size_t *length);
/* Restores a state that `potstill_snapshot` returned. Returns NULL or an error message. */
const char *potstill_restore(potstill_copies *copies, const uint8_t *state, size_t length);

#ifdef __cplusplus
}
#endif
#endif
