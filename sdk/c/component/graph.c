/* Connects the graph to the imports of the host, for components of learners and objectives. */
#include "../potstill_graph.h"

#include <stdlib.h>
#include <string.h>

#include "shared.h"

_Static_assert(sizeof(potstill_tensor) == sizeof(uint32_t), "lists of tensors are lists of numbers");

void potstill_graph_at(const char *file, uint32_t line) {
    const char *name = strrchr(file, '/');
    string text;
    plugin_string_set(&text, name ? name + 1 : file);
    potstill_plugin_graph_at(&text, line);
}

static potstill_plugin_graph_list_tensor_t list(const potstill_tensor *tensors, size_t count) {
    potstill_plugin_graph_list_tensor_t list = {(uint32_t *)tensors, count};
    return list;
}

potstill_tensor potstill_graph_operation(uint32_t op, size_t count, const potstill_tensor *inputs,
                                         potstill_shape integers, size_t numbers, const double *values) {
    potstill_plugin_graph_list_tensor_t tensors = list(inputs, count);
    plugin_list_s64_t integer_list = {integers.size, integers.rank};
    plugin_list_f64_t number_list = {(double *)values, numbers};
    potstill_tensor made = {potstill_plugin_graph_operation(op, &tensors, &integer_list, &number_list)};
    return made;
}

potstill_shape potstill_graph_shape(potstill_tensor x) {
    plugin_list_u32_t dimensions;
    potstill_plugin_graph_shape(x.number, &dimensions);
    if (dimensions.len > POTSTILL_MOST_AXES) potstill_fail("the tensor has more axes than the C SDK supports");
    potstill_shape shape = {.rank = dimensions.len};
    for (size_t i = 0; i < dimensions.len; i++) shape.size[i] = dimensions.ptr[i];
    plugin_list_u32_free(&dimensions);
    return shape;
}

void potstill_graph_gradients(potstill_tensor loss, const potstill_tensor *wrt, size_t count,
                              potstill_tensor *gradients) {
    potstill_plugin_graph_list_tensor_t inputs = list(wrt, count), made;
    potstill_plugin_graph_gradients(loss.number, &inputs, &made);
    for (size_t i = 0; i < count && i < made.len; i++) gradients[i].number = made.ptr[i];
    potstill_plugin_graph_list_tensor_free(&made);
}

plugin_list_u32_t component_dimensions(const potstill_shape *shape) {
    uint32_t dimensions[POTSTILL_MOST_AXES];
    for (uint32_t i = 0; i < shape->rank; i++) {
        if (shape->size[i] < 0) potstill_fail("a dimension is negative");
        dimensions[i] = (uint32_t)shape->size[i];
    }
    return component_list_u32(dimensions, shape->rank);
}
