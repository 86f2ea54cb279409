/* Implements the exports of the learner contract for `potstill_plugin`. It is compiled for WebAssembly only. */
#include <stdlib.h>

#include "../potstill_learner.h"
#include "shared.h"

typedef exports_potstill_plugin_learner_architecture_t architecture;

struct exports_potstill_plugin_learner_architecture_t {
    /* The space from the contract, which `shape` points into. */
    exports_potstill_plugin_learner_space_t observation;
    potstill_learner_shape shape;
    potstill_architecture *drawn;
};

void exports_potstill_plugin_learner_describe(exports_potstill_plugin_learner_description_t *ret) {
    component_describe(potstill_plugin.id, potstill_plugin.version, potstill_plugin.summary, ret);
}

void exports_potstill_plugin_learner_options(exports_potstill_plugin_learner_list_option_schema_t *ret) {
    ret->ptr = component_schemas_of(potstill_plugin.options, &ret->len);
}

bool exports_potstill_plugin_learner_static_architecture_make(
    exports_potstill_plugin_learner_space_t *observation, uint32_t outputs,
    exports_potstill_plugin_learner_list_setting_t *settings, uint64_t seed,
    exports_potstill_plugin_learner_own_architecture_t *ret, string *err) {
    architecture *made = component_allocate(sizeof *made);
    made->observation = *observation;
    made->shape.observation = component_space_of(&made->observation);
    made->shape.outputs = outputs;
    potstill_setting *own = component_settings_of(settings->ptr, settings->len);
    const char *error;
    made->drawn = potstill_draw(&made->shape, own, settings->len, seed, &error);
    component_settings_free(own, settings->ptr, settings->len);
    exports_potstill_plugin_learner_list_setting_free(settings);
    if (made->drawn) {
        *ret = exports_potstill_plugin_learner_architecture_new(made);
    } else {
        exports_potstill_plugin_learner_space_free(&made->observation);
        free(made);
    }
    return component_done(error, err);
}

void exports_potstill_plugin_learner_architecture_destructor(architecture *rep) {
    potstill_architecture_drop(rep->drawn);
    exports_potstill_plugin_learner_space_free(&rep->observation);
    free(rep);
}

void exports_potstill_plugin_learner_method_architecture_name(architecture *self, string *ret) {
    char name[POTSTILL_NAME];
    potstill_architecture_name(self->drawn, name);
    plugin_string_dup(ret, name);
}

void exports_potstill_plugin_learner_method_architecture_parameters(
    architecture *self, exports_potstill_plugin_learner_list_parameter_t *ret) {
    const potstill_declared *declared = potstill_declare(self->drawn, &ret->len);
    ret->ptr = component_allocate(ret->len * sizeof *ret->ptr);
    for (size_t i = 0; i < ret->len; i++) {
        exports_potstill_plugin_learner_parameter_t *parameter = &ret->ptr[i];
        plugin_string_dup(&parameter->name, declared[i].name);
        parameter->shape = component_dimensions(&declared[i].shape);
        /* The SDK numbers the kinds as the contract does, and all members of the union are at the same address. */
        parameter->init.tag = (uint8_t)declared[i].init.kind;
        parameter->init.val.constant = declared[i].init.value;
        parameter->layer = declared[i].layer;
    }
}

uint32_t exports_potstill_plugin_learner_method_architecture_forward(
    architecture *self, exports_potstill_plugin_learner_list_tensor_t *parameters, uint32_t observations) {
    potstill_tensor x = {observations};
    potstill_tensor output =
        potstill_forward(self->drawn, (const potstill_tensor *)parameters->ptr, parameters->len, x);
    exports_potstill_plugin_learner_list_tensor_free(parameters);
    return output.number;
}
