/* The differentiable graph that learners and objectives build. Building it computes nothing: the host checks the shape of
 * every operation at once, and later differentiates, compiles and runs the graph for every batch.
 *
 * A tensor is valid only during the call that created or received it. Arithmetic broadcasts as in NumPy, and negative axes
 * count from the last. A mistake, such as shapes that do not match or an axis out of range, makes the call fail with an
 * error that names the operation, what it expected, what it got, the file and the line. The functions are macros so that
 * they know file and line. They have the same names as in the Rust SDK. */
#ifndef POTSTILL_GRAPH_H
#define POTSTILL_GRAPH_H

#include "potstill_common.h"

/* A node of the graph. It has a shape, but no values until the host runs the graph. */
typedef struct {
    uint32_t number;
} potstill_tensor;

enum { POTSTILL_MOST_AXES = 8 };

/* A list of dimensions or axes. Write POTSTILL_SHAPE(batch, 64), POTSTILL_AXES(-1) or POTSTILL_SCALAR. */
typedef struct {
    uint32_t rank;
    int64_t size[POTSTILL_MOST_AXES];
} potstill_shape;

#define POTSTILL_SHAPE(...)                                                                                          \
    ((potstill_shape){.rank = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), .size = {__VA_ARGS__}})
#define POTSTILL_AXES(...) POTSTILL_SHAPE(__VA_ARGS__)
#define POTSTILL_SCALAR ((potstill_shape){.rank = 0})

/* ---- Leaves ---------------------------------------------------------------------------------------------------- */

/* Makes a scalar, []. */
#define potstill_constant(VALUE) potstill_leaf(POTSTILL_HERE, 0, POTSTILL_SCALAR, (double[]){VALUE})
/* Makes a tensor of SHAPE whose elements are all VALUE. */
#define potstill_full(VALUE, SHAPE) potstill_broadcast_to(potstill_constant(VALUE), SHAPE)
/* Makes a tensor of SHAPE from an array of doubles in row-major order. */
#define potstill_values(VALUES, SHAPE) potstill_leaf(POTSTILL_HERE, 1, SHAPE, VALUES)
/* Makes a tensor of indices from an array of doubles that are whole numbers, in row-major order, for `potstill_gather`
 * and similar operations. */
#define potstill_indices(INDICES, SHAPE) potstill_leaf(POTSTILL_HERE, 2, SHAPE, INDICES)
/* Returns the dimensions of a tensor, including that of the batch, because a graph is traced for each batch size. */
potstill_shape potstill_shape_of(potstill_tensor x);

/* ---- Elementwise operations on one tensor ---------------------------------------------------------------------- */

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
/* Computes the sign: -1, 0 or 1. No gradient flows through it. */
#define potstill_sign(X) potstill_of_one(POTSTILL_HERE, 22, X)
/* Raises X to the power of the number P. */
#define potstill_powf(X, P) potstill_operation(POTSTILL_HERE, 23, 1, (potstill_tensor[]){X}, POTSTILL_SCALAR, 1, (double[]){P})
/* Returns the same value, through which no gradient flows. */
#define potstill_stop_gradient(X) potstill_of_one(POTSTILL_HERE, 126, X)
/* Returns the same value as a tensor that gradients can be taken with respect to. `potstill_grad` needs this for a
 * computed tensor, because the graph may simplify intermediate results away. */
#define potstill_variable(X) potstill_of_one(POTSTILL_HERE, 127, X)

/* ---- Elementwise operations on two tensors --------------------------------------------------------------------- */

#define potstill_add(A, B) potstill_of_two(POTSTILL_HERE, 40, A, B)
#define potstill_sub(A, B) potstill_of_two(POTSTILL_HERE, 41, A, B)
#define potstill_mul(A, B) potstill_of_two(POTSTILL_HERE, 42, A, B)
#define potstill_div(A, B) potstill_of_two(POTSTILL_HERE, 43, A, B)
#define potstill_min(A, B) potstill_of_two(POTSTILL_HERE, 44, A, B)
#define potstill_max(A, B) potstill_of_two(POTSTILL_HERE, 45, A, B)
/* Are 1 where A < B, A <= B or A = B, else 0. No gradient flows through them. */
#define potstill_less(A, B) potstill_of_two(POTSTILL_HERE, 46, A, B)
#define potstill_less_equal(A, B) potstill_of_two(POTSTILL_HERE, 47, A, B)
#define potstill_equal(A, B) potstill_of_two(POTSTILL_HERE, 48, A, B)
/* Add or multiply by the number N. */
#define potstill_add_number(X, N) potstill_add(X, potstill_constant(N))
#define potstill_mul_number(X, N) potstill_mul(X, potstill_constant(N))
/* Limits every element to the range from LOW to HIGH. */
#define potstill_clamp(X, LOW, HIGH) potstill_min(potstill_max(X, potstill_constant(LOW)), potstill_constant(HIGH))
/* Takes the elements of A where CONDITION is not 0, else those of B. */
#define potstill_select(CONDITION, A, B)                                                                             \
    potstill_operation(POTSTILL_HERE, 49, 3, (potstill_tensor[]){CONDITION, A, B}, POTSTILL_SCALAR, 0, NULL)

/* ---- Reductions ------------------------------------------------------------------------------------------------ */

/* Compute the sum and the mean of all elements, a scalar. */
#define potstill_sum(X) potstill_reduce(POTSTILL_HERE, 60, X, POTSTILL_SCALAR, 0)
#define potstill_mean(X) potstill_reduce(POTSTILL_HERE, 61, X, POTSTILL_SCALAR, 0)
/* Reduce over AXES. The first removes them; the others keep them with length 1. */
#define potstill_sum_axes(X, AXES) potstill_reduce(POTSTILL_HERE, 60, X, AXES, 0)
#define potstill_sum_keep(X, AXES) potstill_reduce(POTSTILL_HERE, 60, X, AXES, 1)
#define potstill_mean_keep(X, AXES) potstill_reduce(POTSTILL_HERE, 61, X, AXES, 1)
#define potstill_max_keep(X, AXES) potstill_reduce(POTSTILL_HERE, 62, X, AXES, 1)
/* Compute the (logarithm of the) softmax over AXIS, without overflow. */
#define potstill_log_softmax(X, AXIS) potstill_with(POTSTILL_HERE, 63, X, POTSTILL_AXES(AXIS))
#define potstill_softmax(X, AXIS) potstill_with(POTSTILL_HERE, 64, X, POTSTILL_AXES(AXIS))
/* Normalizes the last axis to mean 0 and standard deviation 1, without a learned scale and shift. */
#define potstill_layer_norm(X, EPS)                                                                                  \
    potstill_operation(POTSTILL_HERE, 65, 1, (potstill_tensor[]){X}, POTSTILL_SCALAR, 1, (double[]){EPS})

/* ---- Linear algebra, convolutions and pooling ------------------------------------------------------------------ */

/* Computes the matrix product [..., m, k] x [..., k, n] -> [..., m, n]. Leading axes broadcast. */
#define potstill_matmul(A, B) potstill_of_two(POTSTILL_HERE, 80, A, B)
/* Computes the cross-correlation of [N, C, H, W] with WEIGHT [O, C, h, w], as `torch.nn.functional.conv2d`. */
#define potstill_conv2d(X, WEIGHT, STRIDE, PADDING)                                                                  \
    potstill_operation(POTSTILL_HERE, 81, 2, (potstill_tensor[]){X, WEIGHT}, POTSTILL_SHAPE(STRIDE, PADDING), 0, NULL)
/* Compute the mean or the maximum of square windows of [N, C, H, W]. The zeros of the padding count in the mean. */
#define potstill_avg_pool2d(X, KERNEL, STRIDE, PADDING)                                                              \
    potstill_with(POTSTILL_HERE, 82, X, POTSTILL_SHAPE(KERNEL, STRIDE, PADDING))
#define potstill_max_pool2d(X, KERNEL, STRIDE, PADDING)                                                              \
    potstill_with(POTSTILL_HERE, 83, X, POTSTILL_SHAPE(KERNEL, STRIDE, PADDING))

/* ---- Operations with indices ----------------------------------------------------------------------------------- */

/* Gathers the elements at INDEX along AXIS. All other axes of X and INDEX must have equal lengths. */
#define potstill_gather(X, AXIS, INDEX)                                                                              \
    potstill_operation(POTSTILL_HERE, 100, 2, (potstill_tensor[]){X, INDEX}, POTSTILL_AXES(AXIS), 0, NULL)
/* Adds each element at its position INDEX along AXIS of a zero tensor, whose AXIS has LENGTH. This is the transpose of
 * `potstill_gather`. */
#define potstill_scatter(X, AXIS, INDEX, LENGTH)                                                                     \
    potstill_operation(POTSTILL_HERE, 101, 2, (potstill_tensor[]){X, INDEX}, POTSTILL_SHAPE(AXIS, LENGTH), 0, NULL)
/* Turns indices [...] into one-hot rows [..., CLASSES]: 1 at the index, else 0. */
#define potstill_one_hot(X, CLASSES) potstill_with(POTSTILL_HERE, 102, X, POTSTILL_SHAPE(CLASSES))

/* ---- Operations on shapes -------------------------------------------------------------------------------------- */

/* Returns the same elements in another shape. */
#define potstill_reshape(X, SHAPE) potstill_with(POTSTILL_HERE, 120, X, SHAPE)
/* Flattens all axes but the first: [batch, ...] becomes [batch, size]. */
potstill_tensor potstill_flatten_rows(potstill_tensor x);
/* Permutes the axes: axis i of the result is axis ORDER[i] of X. */
#define potstill_permute(X, ORDER) potstill_with(POTSTILL_HERE, 121, X, ORDER)
/* Swaps the last two axes. */
potstill_tensor potstill_transpose(potstill_tensor x);
/* Broadcasts to SHAPE. */
#define potstill_broadcast_to(X, SHAPE) potstill_with(POTSTILL_HERE, 122, X, SHAPE)
/* Takes LENGTH elements from START on along AXIS. */
#define potstill_slice(X, AXIS, START, LENGTH) potstill_with(POTSTILL_HERE, 123, X, POTSTILL_SHAPE(AXIS, START, LENGTH))
/* Pads AXIS with BEFORE zeros in front and AFTER zeros behind. */
#define potstill_pad(X, AXIS, BEFORE, AFTER) potstill_with(POTSTILL_HERE, 124, X, POTSTILL_SHAPE(AXIS, BEFORE, AFTER))
/* Concatenates COUNT tensors along AXIS. */
#define potstill_concat(TENSORS, COUNT, AXIS)                                                                        \
    potstill_operation(POTSTILL_HERE, 125, COUNT, TENSORS, POTSTILL_AXES(AXIS), 0, NULL)

/* ---- Gradients ------------------------------------------------------------------------------------------------- */

/* Writes the gradients of the scalar LOSS with respect to each of the COUNT tensors WRT to GRADIENTS, in the same shapes.
 * Each tensor of WRT must come from the host or be a `potstill_variable`. The gradient is zero for a tensor that LOSS does
 * not depend on. Gradients are ordinary nodes, so they can be differentiated again. */
#define potstill_grad(LOSS, WRT, COUNT, GRADIENTS) potstill_gradients(POTSTILL_HERE, LOSS, WRT, COUNT, GRADIENTS)

/* ---- Functions behind the macros ------------------------------------------------------------------------------- */

#define POTSTILL_HERE __FILE__, __LINE__

/* `op` is POTSTILL_OP_... of `potstill.h`, which documents the inputs, integers and numbers of each operation. */
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

/* The keeper of the graph: the host in a component, potstill_testing.c in tests. */
void potstill_graph_at(const char *file, uint32_t line);
potstill_tensor potstill_graph_operation(uint32_t op, size_t count, const potstill_tensor *inputs,
                                         potstill_shape integers, size_t numbers, const double *values);
potstill_shape potstill_graph_shape(potstill_tensor x);
void potstill_graph_gradients(potstill_tensor loss, const potstill_tensor *wrt, size_t count,
                              potstill_tensor *gradients);

/* The keeper of the learner that an objective trains: the host in a component, potstill_testing.c in tests. */
potstill_tensor potstill_network_apply(const potstill_tensor *parameters, size_t count, potstill_tensor x);
potstill_tensor potstill_network_log_probability(potstill_tensor outputs, potstill_tensor actions);
potstill_tensor potstill_network_entropy(potstill_tensor outputs);
potstill_tensor potstill_network_divergence(potstill_tensor p, potstill_tensor q);

#endif
