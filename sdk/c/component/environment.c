/* Implements the exports of the environment contract for `potstill_plugin`. It is compiled for WebAssembly only. */
#include <stdlib.h>
#include <string.h>

#include "../potstill_environment.h"
#include "shared.h"

typedef exports_potstill_plugin_environment_environments_t environments;
typedef exports_potstill_plugin_environment_observations_t observations_t;

struct exports_potstill_plugin_environment_environments_t {
    potstill_copies *copies;
};

void exports_potstill_plugin_environment_describe(exports_potstill_plugin_environment_description_t *ret) {
    component_describe(potstill_plugin.id, potstill_plugin.version, potstill_plugin.summary, ret);
}

void exports_potstill_plugin_environment_options(exports_potstill_plugin_environment_list_option_schema_t *ret) {
    ret->ptr = component_schemas_of(potstill_plugin.options, &ret->len);
}

bool exports_potstill_plugin_environment_static_environments_make(
    uint32_t num_envs, exports_potstill_plugin_environment_list_setting_t *settings,
    exports_potstill_plugin_environment_own_environments_t *ret, string *err) {
    potstill_setting *own = component_settings_of(settings->ptr, settings->len);
    const char *error;
    potstill_copies *copies = potstill_make(num_envs, own, settings->len, &error);
    component_settings_free(own, settings->ptr, settings->len);
    exports_potstill_plugin_environment_list_setting_free(settings);
    if (copies) {
        environments *made = component_allocate(sizeof *made);
        made->copies = copies;
        *ret = exports_potstill_plugin_environment_environments_new(made);
    }
    return component_done(error, err);
}

void exports_potstill_plugin_environment_environments_destructor(environments *rep) {
    potstill_drop(rep->copies);
    free(rep);
}

static plugin_option_f32_t maybe(potstill_maybe value) {
    plugin_option_f32_t out = {value.is_some, value.value};
    return out;
}

void exports_potstill_plugin_environment_method_environments_spec(environments *self,
                                                                  exports_potstill_plugin_environment_spec_t *ret) {
    const potstill_spec *spec = potstill_spec_of(self->copies);
    ret->observation = component_space_to(&spec->observation);
    ret->action = component_space_to(&spec->action);
    ret->max_episode_steps.is_some = spec->max_episode_steps != 0;
    ret->max_episode_steps.val = spec->max_episode_steps;
    ret->reward_threshold = maybe(spec->reward_threshold);
    ret->max_return = maybe(spec->max_return);
    ret->autoreset = EXPORTS_POTSTILL_PLUGIN_ENVIRONMENT_AUTORESET_SAME_STEP;
}

/* Allocates room for `rows` observations in the result itself, so that the copies write directly into it. */
static void *observations(const potstill_copies *copies, size_t rows, observations_t *ret) {
    void *block = component_allocate(rows * potstill_observation_bytes(copies));
    size_t count = rows * potstill_observation_size(copies);
    if (potstill_spec_of(copies)->observation.kind == POTSTILL_IMAGE) {
        ret->tag = EXPORTS_POTSTILL_PLUGIN_ENVIRONMENT_OBSERVATIONS_BYTE;
        ret->val.byte.ptr = block;
        ret->val.byte.len = count;
    } else {
        ret->tag = EXPORTS_POTSTILL_PLUGIN_ENVIRONMENT_OBSERVATIONS_FLOAT;
        ret->val.float_.ptr = block;
        ret->val.float_.len = count;
    }
    return block;
}

bool exports_potstill_plugin_environment_method_environments_reset(environments *self,
                                                                   plugin_list_u64_t *seeds,
                                                                   observations_t *ret, string *err) {
    void *rows = observations(self->copies, seeds->len, ret);
    const char *error = potstill_reset(self->copies, seeds->ptr, seeds->len, rows);
    plugin_list_u64_free(seeds);
    if (error) free(rows);
    return component_done(error, err);
}

bool exports_potstill_plugin_environment_method_environments_step(
    environments *self, exports_potstill_plugin_environment_actions_t *actions,
    exports_potstill_plugin_environment_transition_t *ret, string *err) {
    potstill_copies *copies = self->copies;
    bool continuous = actions->tag == EXPORTS_POTSTILL_PLUGIN_ENVIRONMENT_ACTIONS_CONTINUOUS;
    bool right_kind = continuous == (potstill_spec_of(copies)->action.kind == POTSTILL_BOX);
    const void *values = continuous ? (void *)actions->val.continuous.ptr : (void *)actions->val.discrete.ptr;
    size_t count = continuous ? actions->val.continuous.len : actions->val.discrete.len;
    size_t n = count / potstill_action_size(copies);
    ret->rewards.ptr = component_allocate(n * sizeof(float));
    ret->terminated.ptr = component_allocate(n);
    ret->truncated.ptr = component_allocate(n);
    ret->rewards.len = ret->terminated.len = ret->truncated.len = n;
    potstill_transition out = {.observations = observations(copies, n, &ret->observations),
                               .rewards = ret->rewards.ptr,
                               .terminated = ret->terminated.ptr,
                               .truncated = ret->truncated.ptr};
    const char *error =
        right_kind ? potstill_take_step(copies, values, count, &out) : "the actions are of the wrong kind for the action space";
    exports_potstill_plugin_environment_actions_free(actions);
    void *finals = observations(copies, error ? 0 : out.ended, &ret->final_observations);
    if (error)
        exports_potstill_plugin_environment_transition_free(ret);
    else if (out.ended)
        memcpy(finals, out.final_observations, out.ended * potstill_observation_bytes(copies));
    return component_done(error, err);
}

bool exports_potstill_plugin_environment_method_environments_render(
    environments *self, uint32_t index, exports_potstill_plugin_environment_render_mode_t mode,
    exports_potstill_plugin_environment_frame_t *ret, string *err) {
    bool text = mode == EXPORTS_POTSTILL_PLUGIN_ENVIRONMENT_RENDER_MODE_TEXT;
    potstill_frame frame;
    const char *error = potstill_render(self->copies, index, text ? POTSTILL_LINES : POTSTILL_RGB, &frame);
    if (!error && text) {
        ret->tag = EXPORTS_POTSTILL_PLUGIN_ENVIRONMENT_FRAME_TEXT;
        plugin_string_dup(&ret->val.text, frame.text);
        free(frame.text);
    } else if (!error) {
        ret->tag = EXPORTS_POTSTILL_PLUGIN_ENVIRONMENT_FRAME_RGB;
        ret->val.rgb.width = frame.width;
        ret->val.rgb.height = frame.height;
        ret->val.rgb.pixels.ptr = frame.pixels;
        ret->val.rgb.pixels.len = (size_t)3 * frame.width * frame.height;
    }
    return component_done(error, err);
}

bool exports_potstill_plugin_environment_method_environments_snapshot(environments *self,
                                                                      plugin_list_u8_t *ret) {
    ret->ptr = potstill_snapshot(self->copies, &ret->len);
    return ret->ptr != NULL;
}

bool exports_potstill_plugin_environment_method_environments_restore(environments *self,
                                                                     plugin_list_u8_t *state, string *err) {
    const char *error = potstill_restore(self->copies, state->ptr, state->len);
    plugin_list_u8_free(state);
    return component_done(error, err);
}
