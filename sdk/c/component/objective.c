/* Implements the exports of the objective contract for `potstill_plugin`. It is compiled for WebAssembly only. */
#include "../potstill_objective.h"

#include <stdlib.h>
#include <string.h>

#include "shared.h"

typedef exports_potstill_plugin_objective_instance_t instance;
typedef exports_potstill_plugin_objective_list_tensor_t list;

struct exports_potstill_plugin_objective_instance_t {
    /* The task from the contract, which the spaces of the SDK's task point into. */
    exports_potstill_plugin_objective_task_t task;
    potstill_instance *made;
};

potstill_tensor potstill_network_apply(const potstill_tensor *parameters, size_t count, potstill_tensor x) {
    potstill_plugin_network_list_tensor_t given = {(uint32_t *)parameters, count};
    potstill_tensor made = {potstill_plugin_network_apply(&given, x.number)};
    return made;
}

potstill_tensor potstill_network_log_probability(potstill_tensor outputs, potstill_tensor actions) {
    potstill_tensor made = {potstill_plugin_network_log_probability(outputs.number, actions.number)};
    return made;
}

potstill_tensor potstill_network_entropy(potstill_tensor outputs) {
    potstill_tensor made = {potstill_plugin_network_entropy(outputs.number)};
    return made;
}

potstill_tensor potstill_network_divergence(potstill_tensor p, potstill_tensor q) {
    potstill_tensor made = {potstill_plugin_network_divergence(p.number, q.number)};
    return made;
}

void exports_potstill_plugin_objective_describe(exports_potstill_plugin_objective_description_t *ret) {
    component_describe(potstill_plugin.id, potstill_plugin.version, potstill_plugin.summary, ret);
}

void exports_potstill_plugin_objective_options(exports_potstill_plugin_objective_list_option_schema_t *ret) {
    ret->ptr = component_schemas_of(potstill_plugin.options, &ret->len);
}

bool exports_potstill_plugin_objective_static_instance_make(
    exports_potstill_plugin_objective_task_t *task, exports_potstill_plugin_objective_list_setting_t *settings,
    exports_potstill_plugin_objective_own_instance_t *ret, string *err) {
    instance *made = component_allocate(sizeof *made);
    made->task = *task;
    potstill_task own_task = {component_space_of(&task->observation), component_space_of(&task->action),
                              task->instances, task->outputs};
    potstill_setting *own = component_settings_of(settings->ptr, settings->len);
    const char *error;
    made->made = potstill_objective_make(&own_task, own, settings->len, &error);
    component_settings_free(own, settings->ptr, settings->len);
    exports_potstill_plugin_objective_list_setting_free(settings);
    if (made->made) {
        *ret = exports_potstill_plugin_objective_instance_new(made);
    } else {
        exports_potstill_plugin_objective_task_free(&made->task);
        free(made);
    }
    return component_done(error, err);
}

void exports_potstill_plugin_objective_instance_destructor(instance *rep) {
    potstill_objective_drop(rep->made);
    exports_potstill_plugin_objective_task_free(&rep->task);
    free(rep);
}

exports_potstill_plugin_objective_data_source_t exports_potstill_plugin_objective_method_instance_data(
    instance *self) {
    (void)self;
    return (exports_potstill_plugin_objective_data_source_t)potstill_plugin.data;
}

void exports_potstill_plugin_objective_method_instance_meta_parameters(
    instance *self, exports_potstill_plugin_objective_list_meta_parameter_t *ret) {
    const potstill_meta_parameter *parts = potstill_objective_theta(self->made, &ret->len);
    ret->ptr = component_allocate(ret->len * sizeof *ret->ptr);
    for (size_t i = 0; i < ret->len; i++) {
        exports_potstill_plugin_objective_meta_parameter_t *part = &ret->ptr[i];
        plugin_string_dup(&part->name, parts[i].name);
        part->shape = component_dimensions(&parts[i].shape);
        /* The SDK numbers the kinds as the contract does, and all members of the union are at the same address. */
        part->init.tag = (uint8_t)parts[i].init;
        part->init.val.constant = parts[i].value;
        part->learned = !parts[i].fixed;
        part->positive = parts[i].positive;
    }
}

void exports_potstill_plugin_objective_method_instance_columns(instance *self, plugin_list_string_t *ret) {
    (void)self;
    ret->len = 0;
    while (potstill_plugin.columns[ret->len]) ret->len++;
    ret->ptr = component_allocate(ret->len * sizeof *ret->ptr);
    for (size_t i = 0; i < ret->len; i++) plugin_string_dup(&ret->ptr[i], potstill_plugin.columns[i]);
}

static const potstill_tensor *tensors(const list *numbers) { return (const potstill_tensor *)numbers->ptr; }

void exports_potstill_plugin_objective_method_instance_inner(instance *self, list *theta, list *fresh, list *ret) {
    ret->len = fresh->len;
    ret->ptr = component_allocate(ret->len * sizeof *ret->ptr);
    potstill_objective_inner(self->made, tensors(theta), tensors(fresh), fresh->len, (potstill_tensor *)ret->ptr);
    exports_potstill_plugin_objective_list_tensor_free(theta);
    exports_potstill_plugin_objective_list_tensor_free(fresh);
}

void exports_potstill_plugin_objective_method_instance_outer(instance *self,
                                                             exports_potstill_plugin_objective_judged_t *judged,
                                                             exports_potstill_plugin_objective_outcome_t *ret) {
    potstill_outer outer = {
        .fresh = tensors(&judged->fresh), .taught = tensors(&judged->taught), .parameters = judged->fresh.len};
    for (size_t i = 0; i < judged->columns.len && i < POTSTILL_MOST_COLUMNS; i++)
        outer.columns[i].number = judged->columns.ptr[i];
    ret->loss = potstill_objective_outer(self->made, tensors(&judged->theta), &outer).number;
    ret->metrics.len = outer.metric_count;
    ret->metrics.ptr = component_allocate(outer.metric_count * sizeof *ret->metrics.ptr);
    for (size_t i = 0; i < outer.metric_count; i++) {
        plugin_string_dup(&ret->metrics.ptr[i].name, outer.metrics[i].name);
        ret->metrics.ptr[i].value = outer.metrics[i].value.number;
    }
    exports_potstill_plugin_objective_judged_free(judged);
}
