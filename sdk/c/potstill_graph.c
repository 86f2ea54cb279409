/* Implements the operations of potstill_graph.h on top of the keeper of the graph. */
#include "potstill_graph.h"

potstill_tensor potstill_operation(const char *file, uint32_t line, uint32_t op, size_t count,
                                   const potstill_tensor *inputs, potstill_shape integers, size_t numbers,
                                   const double *values) {
    potstill_graph_at(file, line);
    return potstill_graph_operation(op, count, inputs, integers, numbers, values);
}

potstill_tensor potstill_leaf(const char *file, uint32_t line, uint32_t op, potstill_shape shape, const double *values) {
    size_t size = 1;
    for (uint32_t i = 0; i < shape.rank; i++) size *= (size_t)shape.size[i];
    return potstill_operation(file, line, op, 0, NULL, shape, size, values);
}

potstill_tensor potstill_of_one(const char *file, uint32_t line, uint32_t op, potstill_tensor x) {
    return potstill_operation(file, line, op, 1, &x, POTSTILL_SCALAR, 0, NULL);
}

potstill_tensor potstill_of_two(const char *file, uint32_t line, uint32_t op, potstill_tensor a, potstill_tensor b) {
    potstill_tensor inputs[] = {a, b};
    return potstill_operation(file, line, op, 2, inputs, POTSTILL_SCALAR, 0, NULL);
}

potstill_tensor potstill_with(const char *file, uint32_t line, uint32_t op, potstill_tensor x, potstill_shape integers) {
    return potstill_operation(file, line, op, 1, &x, integers, 0, NULL);
}

potstill_tensor potstill_reduce(const char *file, uint32_t line, uint32_t op, potstill_tensor x, potstill_shape axes,
                                bool keep) {
    double stay = keep;
    return potstill_operation(file, line, op, 1, &x, axes, 1, &stay);
}

void potstill_gradients(const char *file, uint32_t line, potstill_tensor loss, const potstill_tensor *wrt, size_t count,
                        potstill_tensor *gradients) {
    potstill_graph_at(file, line);
    potstill_graph_gradients(loss, wrt, count, gradients);
}

potstill_shape potstill_shape_of(potstill_tensor x) { return potstill_graph_shape(x); }

potstill_tensor potstill_flatten_rows(potstill_tensor x) {
    potstill_shape shape = potstill_shape_of(x);
    int64_t rows = shape.rank ? shape.size[0] : 1, rest = 1;
    for (uint32_t i = 1; i < shape.rank; i++) rest *= shape.size[i];
    return potstill_reshape(x, POTSTILL_SHAPE(rows, rest));
}

potstill_tensor potstill_transpose(potstill_tensor x) {
    potstill_shape order = {.rank = potstill_shape_of(x).rank};
    for (uint32_t i = 0; i < order.rank; i++) order.size[i] = i;
    if (order.rank >= 2) {
        order.size[order.rank - 1] = order.rank - 2;
        order.size[order.rank - 2] = order.rank - 1;
    }
    return potstill_permute(x, order);
}
