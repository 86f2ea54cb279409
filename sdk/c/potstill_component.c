/* The component: the contract's exports, for `potstill_plugin`. Compiled for WebAssembly only. */
#include <stdlib.h>
#include <string.h>

#include "bindings/environment_plugin.h"
#include "potstill_environment.h"

typedef environment_plugin_string_t string;
typedef exports_potstill_plugin_environment_environments_t environments;
typedef exports_potstill_plugin_environment_observations_t observations_t;

struct exports_potstill_plugin_environment_environments_t {
    potstill_copies *copies;
};

_Noreturn void potstill_fail(const char *message) {
    string text;
    environment_plugin_string_set(&text, message);
    /* A trap carries no message: send it ahead. */
    potstill_plugin_log_write(POTSTILL_PLUGIN_LOG_LEVEL_ERROR, &text);
    __builtin_trap();
}

/* NULL for nothing: the bindings free no empty list, so one byte for it would be lost in every step. */
static void *allocate(size_t size) {
    void *block = size ? malloc(size) : NULL;
    if (size && !block) potstill_fail("out of memory");
    return block;
}

static void *copy_of(const void *bytes, size_t size) { return size ? memcpy(allocate(size), bytes, size) : NULL; }

/* False, which says `err` in these bindings, and the error's text; true where there is none. */
static bool done(const char *error, string *err) {
    if (error) environment_plugin_string_dup(err, error);
    return !error;
}

void exports_potstill_plugin_environment_describe(exports_potstill_plugin_environment_description_t *ret) {
    environment_plugin_string_dup(&ret->id, potstill_plugin.id);
    environment_plugin_string_dup(&ret->version, potstill_plugin.version);
    environment_plugin_string_dup(&ret->summary, potstill_plugin.summary);
    environment_plugin_string_dup(&ret->api_version, "0.1");
}

static void choices_of(const potstill_option *option, environment_plugin_list_string_t *list) {
    list->len = 0;
    while (option->choices && option->choices[list->len]) list->len++;
    list->ptr = allocate(list->len * sizeof(string));
    for (size_t i = 0; i < list->len; i++) environment_plugin_string_dup(&list->ptr[i], option->choices[i]);
}

void exports_potstill_plugin_environment_options(exports_potstill_plugin_environment_list_option_schema_t *ret) {
    ret->len = 0;
    while (potstill_plugin.options && potstill_plugin.options[ret->len].name) ret->len++;
    ret->ptr = allocate(ret->len * sizeof *ret->ptr);
    for (size_t i = 0; i < ret->len; i++) {
        const potstill_option *option = &potstill_plugin.options[i];
        potstill_plugin_types_option_schema_t *schema = &ret->ptr[i];
        environment_plugin_string_dup(&schema->name, option->name);
        environment_plugin_string_dup(&schema->help, option->help);
        switch (option->kind) {
        case POTSTILL_INTEGER:
            schema->kind.tag = POTSTILL_PLUGIN_TYPES_OPTION_KIND_INTEGER;
            schema->kind.val.integer.min = option->min.integer;
            schema->kind.val.integer.max = option->max.integer;
            schema->default_.tag = POTSTILL_PLUGIN_TYPES_OPTION_VALUE_INTEGER;
            schema->default_.val.integer = option->fallback.integer;
            break;
        case POTSTILL_NUMBER:
            schema->kind.tag = POTSTILL_PLUGIN_TYPES_OPTION_KIND_NUMBER;
            schema->kind.val.number.min = option->min.number;
            schema->kind.val.number.max = option->max.number;
            schema->default_.tag = POTSTILL_PLUGIN_TYPES_OPTION_VALUE_NUMBER;
            schema->default_.val.number = option->fallback.number;
            break;
        case POTSTILL_BOOLEAN:
            schema->kind.tag = POTSTILL_PLUGIN_TYPES_OPTION_KIND_BOOLEAN;
            schema->default_.tag = POTSTILL_PLUGIN_TYPES_OPTION_VALUE_BOOLEAN;
            schema->default_.val.boolean = option->fallback.boolean;
            break;
        case POTSTILL_TEXT:
            schema->kind.tag = POTSTILL_PLUGIN_TYPES_OPTION_KIND_TEXT;
            choices_of(option, &schema->kind.val.text);
            schema->default_.tag = POTSTILL_PLUGIN_TYPES_OPTION_VALUE_TEXT;
            environment_plugin_string_dup(&schema->default_.val.text, option->fallback.text);
        }
    }
}

/* The host's texts end where they end; C's end at a zero byte. */
static char *terminated(const string *text) {
    char *copy = allocate(text->len + 1);
    memcpy(copy, text->ptr, text->len);
    copy[text->len] = 0;
    return copy;
}

bool exports_potstill_plugin_environment_static_environments_make(
    uint32_t num_envs, exports_potstill_plugin_environment_list_setting_t *settings,
    exports_potstill_plugin_environment_own_environments_t *ret, string *err) {
    potstill_setting *own = allocate(settings->len * sizeof *own);
    for (size_t i = 0; i < settings->len; i++) {
        const potstill_plugin_types_option_value_t *value = &settings->ptr[i].value;
        own[i].name = terminated(&settings->ptr[i].name);
        switch (value->tag) {
        case POTSTILL_PLUGIN_TYPES_OPTION_VALUE_INTEGER: own[i].value.integer = value->val.integer; break;
        case POTSTILL_PLUGIN_TYPES_OPTION_VALUE_NUMBER: own[i].value.number = value->val.number; break;
        case POTSTILL_PLUGIN_TYPES_OPTION_VALUE_BOOLEAN: own[i].value.boolean = value->val.boolean; break;
        default: own[i].value.text = terminated(&value->val.text);
        }
    }
    const char *error;
    potstill_copies *copies = potstill_make(num_envs, own, settings->len, &error);
    for (size_t i = 0; i < settings->len; i++) {
        free((char *)own[i].name);
        if (settings->ptr[i].value.tag == POTSTILL_PLUGIN_TYPES_OPTION_VALUE_TEXT) free((char *)own[i].value.text);
    }
    free(own);
    exports_potstill_plugin_environment_list_setting_free(settings);
    if (copies) {
        environments *made = allocate(sizeof *made);
        made->copies = copies;
        *ret = exports_potstill_plugin_environment_environments_new(made);
    }
    return done(error, err);
}

void exports_potstill_plugin_environment_environments_destructor(environments *rep) {
    potstill_drop(rep->copies);
    free(rep);
}

static environment_plugin_list_u32_t list_u32(const uint32_t *values, size_t count) {
    environment_plugin_list_u32_t list = {copy_of(values, count * sizeof *values), count};
    return list;
}

static environment_plugin_list_f32_t list_f32(const float *values, size_t count) {
    environment_plugin_list_f32_t list = {copy_of(values, count * sizeof *values), count};
    return list;
}

static potstill_plugin_types_space_t space_of(const potstill_space *space) {
    potstill_plugin_types_space_t out;
    switch (space->kind) {
    case POTSTILL_BOX:
        out.tag = POTSTILL_PLUGIN_TYPES_SPACE_BOX;
        out.val.box.shape = list_u32(space->shape, space->rank);
        out.val.box.low = list_f32(space->low ? space->low : &space->same_low, space->bounds);
        out.val.box.high = list_f32(space->high ? space->high : &space->same_high, space->bounds);
        break;
    case POTSTILL_DISCRETE:
        out.tag = POTSTILL_PLUGIN_TYPES_SPACE_DISCRETE;
        out.val.discrete = space->n;
        break;
    case POTSTILL_MULTI_DISCRETE:
        out.tag = POTSTILL_PLUGIN_TYPES_SPACE_MULTI_DISCRETE;
        out.val.multi_discrete = list_u32(space->nvec, space->shape[0]);
        break;
    case POTSTILL_IMAGE:
        out.tag = POTSTILL_PLUGIN_TYPES_SPACE_IMAGE;
        out.val.image = list_u32(space->shape, space->rank);
    }
    return out;
}

static environment_plugin_option_f32_t maybe(potstill_maybe value) {
    environment_plugin_option_f32_t out = {value.is_some, value.value};
    return out;
}

void exports_potstill_plugin_environment_method_environments_spec(environments *self,
                                                                  exports_potstill_plugin_environment_spec_t *ret) {
    const potstill_spec *spec = potstill_spec_of(self->copies);
    ret->observation = space_of(&spec->observation);
    ret->action = space_of(&spec->action);
    ret->max_episode_steps.is_some = spec->max_episode_steps != 0;
    ret->max_episode_steps.val = spec->max_episode_steps;
    ret->reward_threshold = maybe(spec->reward_threshold);
    ret->max_return = maybe(spec->max_return);
    ret->autoreset = EXPORTS_POTSTILL_PLUGIN_ENVIRONMENT_AUTORESET_SAME_STEP;
}

/* Room for `rows` observations, in the answer itself: the copies write straight into it. */
static void *observations(const potstill_copies *copies, size_t rows, observations_t *ret) {
    void *block = allocate(rows * potstill_observation_bytes(copies));
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
                                                                   environment_plugin_list_u64_t *seeds,
                                                                   observations_t *ret, string *err) {
    void *rows = observations(self->copies, seeds->len, ret);
    const char *error = potstill_reset(self->copies, seeds->ptr, seeds->len, rows);
    environment_plugin_list_u64_free(seeds);
    if (error) free(rows);
    return done(error, err);
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
    ret->rewards.ptr = allocate(n * sizeof(float));
    ret->terminated.ptr = allocate(n);
    ret->truncated.ptr = allocate(n);
    ret->rewards.len = ret->terminated.len = ret->truncated.len = n;
    potstill_transition out = {.observations = observations(copies, n, &ret->observations),
                               .rewards = ret->rewards.ptr,
                               .terminated = ret->terminated.ptr,
                               .truncated = ret->truncated.ptr};
    const char *error =
        right_kind ? potstill_take_step(copies, values, count, &out) : "actions of another kind than the space";
    exports_potstill_plugin_environment_actions_free(actions);
    void *finals = observations(copies, error ? 0 : out.ended, &ret->final_observations);
    if (error)
        exports_potstill_plugin_environment_transition_free(ret);
    else if (out.ended)
        memcpy(finals, out.final_observations, out.ended * potstill_observation_bytes(copies));
    return done(error, err);
}

bool exports_potstill_plugin_environment_method_environments_render(
    environments *self, uint32_t index, exports_potstill_plugin_environment_render_mode_t mode,
    exports_potstill_plugin_environment_frame_t *ret, string *err) {
    bool text = mode == EXPORTS_POTSTILL_PLUGIN_ENVIRONMENT_RENDER_MODE_TEXT;
    potstill_frame frame;
    const char *error = potstill_render(self->copies, index, text ? POTSTILL_LINES : POTSTILL_RGB, &frame);
    if (!error && text) {
        ret->tag = EXPORTS_POTSTILL_PLUGIN_ENVIRONMENT_FRAME_TEXT;
        environment_plugin_string_dup(&ret->val.text, frame.text);
        free(frame.text);
    } else if (!error) {
        ret->tag = EXPORTS_POTSTILL_PLUGIN_ENVIRONMENT_FRAME_RGB;
        ret->val.rgb.width = frame.width;
        ret->val.rgb.height = frame.height;
        ret->val.rgb.pixels.ptr = frame.pixels;
        ret->val.rgb.pixels.len = (size_t)3 * frame.width * frame.height;
    }
    return done(error, err);
}

bool exports_potstill_plugin_environment_method_environments_snapshot(environments *self,
                                                                      environment_plugin_list_u8_t *ret) {
    ret->ptr = potstill_snapshot(self->copies, &ret->len);
    return ret->ptr != NULL;
}

bool exports_potstill_plugin_environment_method_environments_restore(environments *self,
                                                                     environment_plugin_list_u8_t *state, string *err) {
    const char *error = potstill_restore(self->copies, state->ptr, state->len);
    environment_plugin_list_u8_free(state);
    return done(error, err);
}
