/* Implements what the components of all roles share. The bindings of each role define the same types with the same names. */
#include "shared.h"

#include <stdlib.h>
#include <string.h>

_Noreturn void potstill_fail(const char *message) {
    string text;
    plugin_string_set(&text, message);
    /* Log the message, because the trap that follows carries none. */
    potstill_plugin_log_write(POTSTILL_PLUGIN_LOG_LEVEL_ERROR, &text);
    __builtin_trap();
}

void *component_allocate(size_t size) {
    void *block = size ? malloc(size) : NULL;
    if (size && !block) potstill_fail("out of memory");
    return block;
}

void *component_copy_of(const void *bytes, size_t size) { return size ? memcpy(component_allocate(size), bytes, size) : NULL; }

bool component_done(const char *error, string *err) {
    if (error) plugin_string_dup(err, error);
    return !error;
}

void component_describe(const char *id, const char *version, const char *summary, potstill_plugin_types_description_t *ret) {
    plugin_string_dup(&ret->id, id);
    plugin_string_dup(&ret->version, version);
    plugin_string_dup(&ret->summary, summary);
    plugin_string_dup(&ret->api_version, "0.1");
}

static void choices_of(const potstill_option *option, plugin_list_string_t *list) {
    list->len = 0;
    while (option->choices && option->choices[list->len]) list->len++;
    list->ptr = component_allocate(list->len * sizeof(string));
    for (size_t i = 0; i < list->len; i++) plugin_string_dup(&list->ptr[i], option->choices[i]);
}

potstill_plugin_types_option_schema_t *component_schemas_of(const potstill_option *options, size_t *len) {
    *len = 0;
    while (options && options[*len].name) (*len)++;
    potstill_plugin_types_option_schema_t *schemas = component_allocate(*len * sizeof *schemas);
    for (size_t i = 0; i < *len; i++) {
        const potstill_option *option = &options[i];
        potstill_plugin_types_option_schema_t *schema = &schemas[i];
        plugin_string_dup(&schema->name, option->name);
        plugin_string_dup(&schema->help, option->help);
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
            plugin_string_dup(&schema->default_.val.text, option->fallback.text);
        }
    }
    return schemas;
}

static char *terminated(const string *text) {
    char *copy = component_allocate(text->len + 1);
    memcpy(copy, text->ptr, text->len);
    copy[text->len] = 0;
    return copy;
}

potstill_setting *component_settings_of(const potstill_plugin_types_setting_t *settings, size_t count) {
    potstill_setting *values = component_allocate(count * sizeof *values);
    for (size_t i = 0; i < count; i++) {
        const potstill_plugin_types_option_value_t *value = &settings[i].value;
        values[i].name = terminated(&settings[i].name);
        switch (value->tag) {
        case POTSTILL_PLUGIN_TYPES_OPTION_VALUE_INTEGER: values[i].value.integer = value->val.integer; break;
        case POTSTILL_PLUGIN_TYPES_OPTION_VALUE_NUMBER: values[i].value.number = value->val.number; break;
        case POTSTILL_PLUGIN_TYPES_OPTION_VALUE_BOOLEAN: values[i].value.boolean = value->val.boolean; break;
        default: values[i].value.text = terminated(&value->val.text);
        }
    }
    return values;
}

void component_settings_free(potstill_setting *values, const potstill_plugin_types_setting_t *settings, size_t count) {
    for (size_t i = 0; i < count; i++) {
        free((char *)values[i].name);
        if (settings[i].value.tag == POTSTILL_PLUGIN_TYPES_OPTION_VALUE_TEXT) free((char *)values[i].value.text);
    }
    free(values);
}

plugin_list_u32_t component_list_u32(const uint32_t *values, size_t count) {
    plugin_list_u32_t list = {component_copy_of(values, count * sizeof *values), count};
    return list;
}

static plugin_list_f32_t list_f32(const float *values, size_t count) {
    plugin_list_f32_t list = {component_copy_of(values, count * sizeof *values), count};
    return list;
}

potstill_plugin_types_space_t component_space_to(const potstill_space *space) {
    potstill_plugin_types_space_t out;
    switch (space->kind) {
    case POTSTILL_BOX:
        out.tag = POTSTILL_PLUGIN_TYPES_SPACE_BOX;
        out.val.box.shape = component_list_u32(space->shape, space->rank);
        out.val.box.low = list_f32(space->low ? space->low : &space->same_low, space->bounds);
        out.val.box.high = list_f32(space->high ? space->high : &space->same_high, space->bounds);
        break;
    case POTSTILL_DISCRETE:
        out.tag = POTSTILL_PLUGIN_TYPES_SPACE_DISCRETE;
        out.val.discrete = space->n;
        break;
    case POTSTILL_MULTI_DISCRETE:
        out.tag = POTSTILL_PLUGIN_TYPES_SPACE_MULTI_DISCRETE;
        out.val.multi_discrete = component_list_u32(space->nvec, space->shape[0]);
        break;
    case POTSTILL_IMAGE:
        out.tag = POTSTILL_PLUGIN_TYPES_SPACE_IMAGE;
        out.val.image = component_list_u32(space->shape, space->rank);
    }
    return out;
}

potstill_space component_space_of(const potstill_plugin_types_space_t *space) {
    potstill_space out = {.kind = POTSTILL_DISCRETE};
    const plugin_list_u32_t *shape = NULL;
    switch (space->tag) {
    case POTSTILL_PLUGIN_TYPES_SPACE_BOX:
        out.kind = POTSTILL_BOX;
        shape = &space->val.box.shape;
        out.bounds = space->val.box.low.len;
        out.low = space->val.box.low.ptr;
        out.high = space->val.box.high.ptr;
        break;
    case POTSTILL_PLUGIN_TYPES_SPACE_DISCRETE: out.n = space->val.discrete; break;
    case POTSTILL_PLUGIN_TYPES_SPACE_MULTI_DISCRETE:
        out = potstill_multi_discrete(space->val.multi_discrete.len, space->val.multi_discrete.ptr);
        break;
    default:
        out.kind = POTSTILL_IMAGE;
        shape = &space->val.image;
    }
    size_t most = sizeof out.shape / sizeof *out.shape;
    if (shape && shape->len > most) potstill_fail("the C SDK supports spaces of up to 4 axes");
    for (size_t i = 0; shape && i < shape->len; i++) out.shape[out.rank++] = shape->ptr[i];
    return out;
}
