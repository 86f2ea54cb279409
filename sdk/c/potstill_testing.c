/* Implements a graph that tracks only shapes, for the native tests of learners and objectives. */
#include "potstill_testing.h"

#include <stdio.h>
#include <stdlib.h>

enum { MOST_TENSORS = 20000 };

/* The shapes of all tensors. Tensors are numbered from 1, so the shape of tensor n is at n - 1. */
static potstill_shape shapes[MOST_TENSORS];
static uint32_t tensors;
static const char *place_file = "";
static uint32_t place_line;
static size_t network_parameters;
static uint32_t network_outputs;

void potstill_check(const char *file, uint32_t line, bool holds, const char *condition) {
    if (holds) return;
    fprintf(stderr, "%s:%u: not true: %s\n", file, line, condition);
    exit(1);
}

_Noreturn void potstill_fail(const char *message) {
    fprintf(stderr, "failed: %s\n", message);
    exit(1);
}

static void print(const potstill_shape *shape) {
    fputs(" [", stderr);
    for (uint32_t i = 0; i < shape->rank; i++) fprintf(stderr, i ? ", %lld" : "%lld", (long long)shape->size[i]);
    fputs("]", stderr);
}

/* Ends the program with an error unless `holds`. */
static void expect(bool holds, const char *expected, size_t count, const potstill_shape *got) {
    if (holds) return;
    fprintf(stderr, "%s:%u: expected %s, got", place_file, place_line, expected);
    for (size_t i = 0; i < count; i++) print(&got[i]);
    fputs("\n", stderr);
    exit(1);
}

potstill_tensor potstill_test_tensor(potstill_shape shape) {
    if (tensors == MOST_TENSORS) potstill_fail("the graph has more tensors than the host accepts");
    shapes[tensors] = shape;
    potstill_tensor tensor = {++tensors};
    return tensor;
}

void potstill_test_network(size_t parameters, uint32_t outputs) {
    network_parameters = parameters;
    network_outputs = outputs;
}

void potstill_graph_at(const char *file, uint32_t line) {
    place_file = file;
    place_line = line;
}

potstill_shape potstill_graph_shape(potstill_tensor x) {
    if (x.number == 0 || x.number > tensors) potstill_fail("this tensor does not exist");
    return shapes[x.number - 1];
}

static int64_t elements(const potstill_shape *shape) {
    int64_t size = 1;
    for (uint32_t i = 0; i < shape->rank; i++) size *= shape->size[i];
    return size;
}

static bool equal_but(const potstill_shape *a, const potstill_shape *b, uint32_t axis) {
    bool equal = a->rank == b->rank;
    for (uint32_t i = 0; equal && i < a->rank; i++) equal = i == axis || a->size[i] == b->size[i];
    return equal;
}

static bool same(const potstill_shape *a, const potstill_shape *b) { return equal_but(a, b, POTSTILL_MOST_AXES); }

static potstill_shape broadcast(size_t count, const potstill_shape *inputs) {
    potstill_shape out = POTSTILL_SCALAR;
    for (size_t i = 0; i < count; i++)
        if (inputs[i].rank > out.rank) out.rank = inputs[i].rank;
    for (uint32_t axis = 0; axis < out.rank; axis++) {
        out.size[axis] = 1;
        for (size_t i = 0; i < count; i++) {
            uint32_t missing = out.rank - inputs[i].rank;
            int64_t length = axis < missing ? 1 : inputs[i].size[axis - missing];
            expect(length == 1 || out.size[axis] == 1 || out.size[axis] == length, "shapes that broadcast", count, inputs);
            if (length != 1) out.size[axis] = length;
        }
    }
    return out;
}

static uint32_t axis_of(int64_t axis, const potstill_shape *x) {
    int64_t index = axis < 0 ? axis + x->rank : axis;
    expect(index >= 0 && index < x->rank, "an axis of the tensor", 1, x);
    return (uint32_t)index;
}

static potstill_shape windows(const potstill_shape *x, int64_t channels, int64_t kernel, int64_t stride,
                              int64_t padding) {
    expect(x->rank == 4 && stride > 0, "[N, C, H, W] and a stride of 1 or more", 1, x);
    potstill_shape out = {.rank = 4, .size = {x->size[0], channels}};
    for (int i = 2; i < 4; i++) {
        int64_t room = x->size[i] + 2 * padding - kernel;
        expect(room >= 0, "a window that fits", 1, x);
        out.size[i] = room / stride + 1;
    }
    return out;
}

static potstill_shape reduced(const potstill_shape *x, const potstill_shape *axes, bool keep) {
    potstill_shape out = POTSTILL_SCALAR;
    for (uint32_t i = 0; i < x->rank; i++) {
        bool gone = axes->rank == 0;
        for (uint32_t j = 0; j < axes->rank; j++) gone |= axis_of(axes->size[j], x) == i;
        if (keep || !gone) out.size[out.rank++] = gone ? 1 : x->size[i];
    }
    return out;
}

static potstill_shape matmul(const potstill_shape *in) {
    potstill_shape lead[2] = {in[0], in[1]};
    bool fits = in[0].rank >= 2 && in[1].rank >= 2 && in[0].size[in[0].rank - 1] == in[1].size[in[1].rank - 2];
    expect(fits, "[..., m, k] x [..., k, n]", 2, in);
    lead[0].rank -= 2;
    lead[1].rank -= 2;
    potstill_shape out = broadcast(2, lead);
    out.size[out.rank++] = in[0].size[in[0].rank - 2];
    out.size[out.rank++] = in[1].size[in[1].rank - 1];
    return out;
}

static potstill_shape permuted(const potstill_shape *x, const potstill_shape *order) {
    potstill_shape out = {.rank = x->rank};
    uint32_t seen = 0;
    for (uint32_t i = 0; i < order->rank; i++) {
        uint32_t axis = axis_of(order->size[i], x);
        out.size[i] = x->size[axis];
        seen |= 1u << axis;
    }
    expect(order->rank == x->rank && seen == (1u << x->rank) - 1, "each axis once", 1, x);
    return out;
}

/* Infers the shape of the result. The numbers of operations are POTSTILL_OP_... in potstill.h. */
static potstill_shape infer(uint32_t op, size_t count, const potstill_shape *in, const potstill_shape *integers,
                            bool keep) {
    const int64_t *n = integers->size;
    potstill_shape x = count ? in[0] : POTSTILL_SCALAR, out = x;
    uint32_t axis;
    switch (op) {
    case 0: return POTSTILL_SCALAR;
    case 1: case 2: return *integers;
    case 40: case 41: case 42: case 43: case 44: case 45: case 46: case 47: case 48: case 49: return broadcast(count, in);
    case 60: case 61: case 62: return reduced(&x, integers, keep);
    case 63: case 64: axis_of(n[0], &x); return x;
    case 80: return matmul(in);
    case 81:
        expect(in[1].rank == 4 && x.rank == 4 && in[1].size[1] == x.size[1] && in[1].size[2] == in[1].size[3],
               "[N, C, H, W], [O, C, k, k]", 2, in);
        return windows(&x, in[1].size[0], in[1].size[2], n[0], n[1]);
    case 82: case 83: return windows(&x, x.size[1], n[0], n[1], n[2]);
    case 100:
        expect(equal_but(&in[1], &x, axis_of(n[0], &x)), "an index equal but in the axis", 2, in);
        return in[1];
    case 101:
        expect(same(&in[1], &x), "values and index of one shape", 2, in);
        out.size[axis_of(n[0], &x)] = n[1];
        return out;
    case 102: out.size[out.rank++] = n[0]; return out;
    case 120:
        expect(elements(integers) == elements(&x), "a shape with the same number of elements", 1, &x);
        return *integers;
    case 121: return permuted(&x, integers);
    case 122: {
        potstill_shape both[] = {x, *integers};
        out = broadcast(2, both);
        expect(same(&out, integers), "a shape that broadcasts", 2, both);
        return out;
    }
    case 123:
        axis = axis_of(n[0], &x);
        expect(n[1] >= 0 && n[2] >= 0 && n[1] + n[2] <= x.size[axis], "a range of the axis", 1, &x);
        out.size[axis] = n[2];
        return out;
    case 124: out.size[axis_of(n[0], &x)] += n[1] + n[2]; return out;
    case 125:
        axis = axis_of(n[0], &x);
        for (size_t i = 1; i < count; i++) {
            expect(equal_but(&in[i], &x, axis), "tensors equal but in the axis", count, in);
            out.size[axis] += in[i].size[axis];
        }
        return out;
    default: return x;
    }
}

potstill_tensor potstill_graph_operation(uint32_t op, size_t count, const potstill_tensor *inputs,
                                         potstill_shape integers, size_t numbers, const double *values) {
    potstill_shape *in = potstill_allocate(count, sizeof *in);
    for (size_t i = 0; i < count; i++) in[i] = potstill_graph_shape(inputs[i]);
    potstill_shape out = infer(op, count, in, &integers, numbers && values[0] != 0);
    free(in);
    return potstill_test_tensor(out);
}

void potstill_graph_gradients(potstill_tensor loss, const potstill_tensor *wrt, size_t count,
                              potstill_tensor *gradients) {
    potstill_shape shape = potstill_graph_shape(loss);
    expect(shape.rank == 0, "a scalar loss", 1, &shape);
    for (size_t i = 0; i < count; i++) gradients[i] = potstill_test_tensor(potstill_graph_shape(wrt[i]));
}

potstill_tensor potstill_network_apply(const potstill_tensor *parameters, size_t count, potstill_tensor x) {
    (void)parameters;
    if (count != network_parameters) potstill_fail("the learner is applied to a wrong number of parameters");
    return potstill_test_tensor(POTSTILL_SHAPE(potstill_graph_shape(x).size[0], network_outputs));
}

potstill_tensor potstill_network_log_probability(potstill_tensor outputs, potstill_tensor actions) {
    potstill_shape both[] = {potstill_graph_shape(outputs), potstill_graph_shape(actions)};
    expect(both[0].rank && both[1].rank && both[0].size[0] == both[1].size[0], "tensors with the same number of rows", 2, both);
    return potstill_test_tensor(POTSTILL_SHAPE(both[0].size[0], 1));
}

potstill_tensor potstill_network_entropy(potstill_tensor outputs) {
    return potstill_network_log_probability(outputs, outputs);
}

potstill_tensor potstill_network_divergence(potstill_tensor p, potstill_tensor q) {
    return potstill_network_log_probability(p, q);
}
