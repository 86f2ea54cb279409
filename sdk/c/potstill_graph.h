/* The differentiable graph, as learners and objectives describe it. Nothing is computed while it is described: the host
 * checks every shape at the statement, and differentiates, compiles and runs the graph for every batch.
 *
 * A tensor means something only during the call in which it was made or given. Arithmetic broadcasts as NumPy's does;
 * axes may be negative, counting from the last. A mistake (shapes that do not fit, an axis out of range) ends the call
 * with an error that names the operation, what it expected, what it got, file and line: the functions are macros to know
 * these. Their names are those of the Rust SDK's. */
#ifndef POTSTILL_GRAPH_H
#define POTSTILL_GRAPH_H

#include "potstill_common.h"

/* A value of the graph: it has a shape, and no numbers until the host runs the graph. */
typedef struct {
    uint32_t number;
} potstill_tensor;

enum { POTSTILL_MOST_AXES = 8 };

/* Dimensions, or axes. Write POTSTILL_SHAPE(batch, 64), POTSTILL_AXES(-1), POTSTILL_SCALAR. */
typedef struct {
    uint32_t rank;
    int64_t size[POTSTILL_MOST_AXES];
} potstill_shape;

#define POTSTILL_SHAPE(...)                                                                                          \
    ((potstill_shape){.rank = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), .size = {__VA_ARGS__}})
#define POTSTILL_AXES(...) POTSTILL_SHAPE(__VA_ARGS__)
#define POTSTILL_SCALAR ((potstill_shape){.rank = 0})

/* ---- Leaves ---------------------------------------------------------------------------------------------------- */

/* A scalar. */
#define potstill_constant(VALUE) potstill_leaf(POTSTILL_HERE, 0, POTSTILL_SCALAR, (double[]){VALUE})
/* VALUE everywhere. */
#define potstill_full(VALUE, SHAPE) potstill_broadcast_to(potstill_constant(VALUE), SHAPE)
/* An array of numbers (double), row by row. */
#define potstill_values(VALUES, SHAPE) potstill_leaf(POTSTILL_HERE, 1, SHAPE, VALUES)
/* An array of indices (double, whole), row by row, for `potstill_gather` and its like. */
#define potstill_indices(INDICES, SHAPE) potstill_leaf(POTSTILL_HERE, 2, SHAPE, INDICES)
/* The dimensions of a tensor; the batch's too: a graph is traced for each size. */
potstill_shape potstill_shape_of(potstill_tensor x);

/* ---- One tensor, elementwise ----------------------------------------------------------------------------------- */

#define potstill_neg(X) potstill_of_one(POTSTILL_HERE, 10, X)
#define potstill_abs(X) potstill_of_one(POTSTILL_HERE, 11, X)
#define potstill_square(X) potstill_of_one(POTSTILL_HERE, 12, X)
#define potstill_sqrt(X) potstill_of_one(POTSTILL_HERE, 13, X)
#define potstill_recip(X) potstill_of_one(POTSTILL_HERE, 14, X)
#define potstill_exp(X) potstill_of_one(POTSTILL_HERE, 15, X)
#define potstill_log(X) potstill_of_one(POTSTILL_HERE, 16, X)
#define potstill_tanh(X) potstill_of_one(POTSTILL_HERE, 17, X)
#define potstill_sigmoid(X) potstill_of_one(POTSTILL_HERE, 18, X)
#define potstill_relu(X) potstill_of_one(POTSTILL_HERE, 19, X)
#define potstill_gelu(X) potstill_of_one(POTSTILL_HERE, 20, X)
#define potstill_erf(X) potstill_of_one(POTSTILL_HERE, 21, X)
/* -1, 0 or 1; no gradient. */
#define potstill_sign(X) potstill_of_one(POTSTILL_HERE, 22, X)
/* X to the power of the number P. */
#define potstill_powf(X, P) potstill_operation(POTSTILL_HERE, 23, 1, (potstill_tensor[]){X}, POTSTILL_SCALAR, 1, (double[]){P})
/* The same value, through which no gradient flows. */
#define potstill_stop_gradient(X) potstill_of_one(POTSTILL_HERE, 126, X)
/* The same value, as something that gradients can be taken with respect to: what was computed needs it, because the
 * graph simplifies across what nobody names. */
#define potstill_variable(X) potstill_of_one(POTSTILL_HERE, 127, X)

/* ---- Two tensors, elementwise ---------------------------------------------------------------------------------- */

#define potstill_add(A, B) potstill_of_two(POTSTILL_HERE, 40, A, B)
#define potstill_sub(A, B) potstill_of_two(POTSTILL_HERE, 41, A, B)
#define potstill_mul(A, B) potstill_of_two(POTSTILL_HERE, 42, A, B)
#define potstill_div(A, B) potstill_of_two(POTSTILL_HERE, 43, A, B)
#define potstill_min(A, B) potstill_of_two(POTSTILL_HERE, 44, A, B)
#define potstill_max(A, B) potstill_of_two(POTSTILL_HERE, 45, A, B)
/* 1 where A < B, A <= B, A = B, else 0; no gradient. */
#define potstill_less(A, B) potstill_of_two(POTSTILL_HERE, 46, A, B)
#define potstill_less_equal(A, B) potstill_of_two(POTSTILL_HERE, 47, A, B)
#define potstill_equal(A, B) potstill_of_two(POTSTILL_HERE, 48, A, B)
/* With a number as the second. */
#define potstill_add_number(X, N) potstill_add(X, potstill_constant(N))
#define potstill_mul_number(X, N) potstill_mul(X, potstill_constant(N))
/* Limited to LOW..=HIGH. */
#define potstill_clamp(X, LOW, HIGH) potstill_min(potstill_max(X, potstill_constant(LOW)), potstill_constant(HIGH))
/* A where CONDITION is not 0, else B. */
#define potstill_select(CONDITION, A, B)                                                                             \
    potstill_operation(POTSTILL_HERE, 49, 3, (potstill_tensor[]){CONDITION, A, B}, POTSTILL_SCALAR, 0, NULL)

/* ---- Reductions ------------------------------------------------------------------------------------------------ */

/* Of all elements, a scalar. */
#define potstill_sum(X) potstill_reduce(POTSTILL_HERE, 60, X, POTSTILL_SCALAR, 0)
#define potstill_mean(X) potstill_reduce(POTSTILL_HERE, 61, X, POTSTILL_SCALAR, 0)
/* Over AXES, which go; over AXES, which stay with length 1. */
#define potstill_sum_axes(X, AXES) potstill_reduce(POTSTILL_HERE, 60, X, AXES, 0)
#define potstill_sum_keep(X, AXES) potstill_reduce(POTSTILL_HERE, 60, X, AXES, 1)
#define potstill_mean_keep(X, AXES) potstill_reduce(POTSTILL_HERE, 61, X, AXES, 1)
#define potstill_max_keep(X, AXES) potstill_reduce(POTSTILL_HERE, 62, X, AXES, 1)
/* Over AXIS, without overflow. */
#define potstill_log_softmax(X, AXIS) potstill_with(POTSTILL_HERE, 63, X, POTSTILL_AXES(AXIS))
#define potstill_softmax(X, AXIS) potstill_with(POTSTILL_HERE, 64, X, POTSTILL_AXES(AXIS))
/* Mean 0 and deviation 1 over the last axis, without scale and shift. */
#define potstill_layer_norm(X, EPS)                                                                                  \
    potstill_operation(POTSTILL_HERE, 65, 1, (potstill_tensor[]){X}, POTSTILL_SCALAR, 1, (double[]){EPS})

/* ---- Linear algebra and windows -------------------------------------------------------------------------------- */

/* [..., m, k] x [..., k, n] -> [..., m, n]; leading axes broadcast. */
#define potstill_matmul(A, B) potstill_of_two(POTSTILL_HERE, 80, A, B)
/* Cross-correlation of [N, C, H, W] with WEIGHT [O, C, h, w]. */
#define potstill_conv2d(X, WEIGHT, STRIDE, PADDING)                                                                  \
    potstill_operation(POTSTILL_HERE, 81, 2, (potstill_tensor[]){X, WEIGHT}, POTSTILL_SHAPE(STRIDE, PADDING), 0, NULL)
/* Mean (padding counted) and maximum of square windows of [N, C, H, W]. */
#define potstill_avg_pool2d(X, KERNEL, STRIDE, PADDING)                                                              \
    potstill_with(POTSTILL_HERE, 82, X, POTSTILL_SHAPE(KERNEL, STRIDE, PADDING))
#define potstill_max_pool2d(X, KERNEL, STRIDE, PADDING)                                                              \
    potstill_with(POTSTILL_HERE, 83, X, POTSTILL_SHAPE(KERNEL, STRIDE, PADDING))

/* ---- Indices --------------------------------------------------------------------------------------------------- */

/* Elements at INDEX along AXIS; the other axes are equal. */
#define potstill_gather(X, AXIS, INDEX)                                                                              \
    potstill_operation(POTSTILL_HERE, 100, 2, (potstill_tensor[]){X, INDEX}, POTSTILL_AXES(AXIS), 0, NULL)
/* Adds the elements at INDEX along AXIS into zeros of LENGTH there: the transpose of `potstill_gather`. */
#define potstill_scatter(X, AXIS, INDEX, LENGTH)                                                                     \
    potstill_operation(POTSTILL_HERE, 101, 2, (potstill_tensor[]){X, INDEX}, POTSTILL_SHAPE(AXIS, LENGTH), 0, NULL)
/* Indices [...] to [..., CLASSES]: 1 at the index, else 0. */
#define potstill_one_hot(X, CLASSES) potstill_with(POTSTILL_HERE, 102, X, POTSTILL_SHAPE(CLASSES))

/* ---- Shapes ---------------------------------------------------------------------------------------------------- */

/* The same elements in another shape. */
#define potstill_reshape(X, SHAPE) potstill_with(POTSTILL_HERE, 120, X, SHAPE)
/* [batch, ...] to [batch, everything else]. */
potstill_tensor potstill_flatten_rows(potstill_tensor x);
/* Axis i of the result is axis ORDER[i]. */
#define potstill_permute(X, ORDER) potstill_with(POTSTILL_HERE, 121, X, ORDER)
/* The last two axes exchanged. */
potstill_tensor potstill_transpose(potstill_tensor x);
/* Repeated to SHAPE. */
#define potstill_broadcast_to(X, SHAPE) potstill_with(POTSTILL_HERE, 122, X, SHAPE)
/* START..START + LENGTH of AXIS. */
#define potstill_slice(X, AXIS, START, LENGTH) potstill_with(POTSTILL_HERE, 123, X, POTSTILL_SHAPE(AXIS, START, LENGTH))
/* Zeros before and after along AXIS. */
#define potstill_pad(X, AXIS, BEFORE, AFTER) potstill_with(POTSTILL_HERE, 124, X, POTSTILL_SHAPE(AXIS, BEFORE, AFTER))
/* COUNT tensors, one after the other along AXIS. */
#define potstill_concat(TENSORS, COUNT, AXIS)                                                                        \
    potstill_operation(POTSTILL_HERE, 125, COUNT, TENSORS, POTSTILL_AXES(AXIS), 0, NULL)

/* ---- Gradients ------------------------------------------------------------------------------------------------- */

/* Gradients of the scalar LOSS with respect to each of COUNT tensors (that the host gave, or `potstill_variable`s), shaped
 * like them, into GRADIENTS; zeros where it does not depend on one. They are nodes like any other: gradients of
 * gradients are written the same way. */
#define potstill_grad(LOSS, WRT, COUNT, GRADIENTS) potstill_gradients(POTSTILL_HERE, LOSS, WRT, COUNT, GRADIENTS)

/* ---- What the macros call -------------------------------------------------------------------------------------- */

#define POTSTILL_HERE __FILE__, __LINE__

/* `op` and what it takes are POTSTILL_OP_... of `potstill.h`. */
potstill_tensor potstill_operation(const char *file, uint32_t line, uint32_t op, size_t count,
                                   const potstill_tensor *inputs, potstill_shape integers, size_t numbers,
                                   const double *values);
potstill_tensor potstill_leaf(const char *file, uint32_t line, uint32_t op, potstill_shape shape, const double *values);
potstill_tensor potstill_of_one(const char *file, uint32_t line, uint32_t op, potstill_tensor x);
potstill_tensor potstill_of_two(const char *file, uint32_t line, uint32_t op, potstill_tensor a, potstill_tensor b);
potstill_tensor potstill_with(const char *file, uint32_t line, uint32_t op, potstill_tensor x, potstill_shape integers);
potstill_tensor potstill_reduce(const char *file, uint32_t line, uint32_t op, potstill_tensor x, potstill_shape axes,
                                bool keep);
void potstill_gradients(const char *file, uint32_t line, potstill_tensor loss, const potstill_tensor *wrt, size_t count,
                        potstill_tensor *gradients);

/* Who keeps the graph: Potstill in a component, potstill_testing.c in tests. */
void potstill_graph_at(const char *file, uint32_t line);
potstill_tensor potstill_graph_operation(uint32_t op, size_t count, const potstill_tensor *inputs,
                                         potstill_shape integers, size_t numbers, const double *values);
potstill_shape potstill_graph_shape(potstill_tensor x);
void potstill_graph_gradients(potstill_tensor loss, const potstill_tensor *wrt, size_t count,
                              potstill_tensor *gradients);

/* Who knows the learner that an objective teaches: likewise. */
potstill_tensor potstill_network_apply(const potstill_tensor *parameters, size_t count, potstill_tensor x);
potstill_tensor potstill_network_log_probability(potstill_tensor outputs, potstill_tensor actions);
potstill_tensor potstill_network_entropy(potstill_tensor outputs);
potstill_tensor potstill_network_divergence(potstill_tensor p, potstill_tensor q);

#endif
