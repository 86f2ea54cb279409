/* A learner that uses every operation of the graph, in the same order as `../rust`, line by line. */
#include "potstill_learner.h"

typedef struct {
    uint32_t outputs;
} every_operation;

static const char *draw(void *self, const potstill_learner_shape *shape, const potstill_options *options,
                        potstill_rng *rng) {
    (void)options, (void)rng;
    ((every_operation *)self)->outputs = shape->outputs;
    return NULL;
}

#define C potstill_constant

static potstill_tensor forward(const void *self, potstill_parameters *parameters, potstill_tensor x) {
    uint32_t outputs = ((const every_operation *)self)->outputs;
    int64_t b = potstill_shape_of(x).size[0];
    potstill_tensor c = potstill_convolution(parameters, "convolution", x, 3, 3, 1, 1, potstill_uniform_init(0.5), 0);
    potstill_tensor pools[] = {potstill_avg_pool2d(c, 2, 2, 0), potstill_max_pool2d(c, 2, 2, 0)};
    potstill_tensor pooled = potstill_concat(pools, 2, 1);
    potstill_tensor h = potstill_variable(
        potstill_linear(parameters, "linear", potstill_flatten_rows(pooled), 4, potstill_normal_init(0.25), 1));
    potstill_tensor u = potstill_add_number(potstill_square(potstill_abs(potstill_neg(h))), 1);
    u = potstill_log(potstill_exp(potstill_recip(potstill_sqrt(u))));
    u = potstill_erf(potstill_gelu(potstill_relu(potstill_sigmoid(potstill_tanh(u)))));
    potstill_tensor sign = potstill_sign(h);
    potstill_tensor v = potstill_add(sign, potstill_powf(u, 1.5));
    potstill_tensor top = potstill_mul_number(potstill_sub(C(2), v), 3);
    v = potstill_div(top, potstill_add_number(v, 4));
    v = potstill_clamp(potstill_max(potstill_min(v, h), u), -1, 1);
    potstill_tensor less = potstill_less(v, h);
    potstill_tensor mask = potstill_add(less, potstill_less_equal(v, u));
    mask = potstill_add(mask, potstill_equal(v, h));
    potstill_tensor s = potstill_select(mask, u, v);
    potstill_tensor logs = potstill_log_softmax(s, -1);
    potstill_tensor r = potstill_add(logs, potstill_softmax(s, -1));
    r = potstill_add(r, potstill_layer_norm(s, 1e-5));
    potstill_tensor less_mean = potstill_sub(r, potstill_mean_keep(r, POTSTILL_AXES(-1)));
    potstill_tensor less_max = potstill_sub(less_mean, potstill_max_keep(r, POTSTILL_AXES(-1)));
    r = potstill_add(less_max, potstill_sum_keep(r, POTSTILL_AXES(0)));
    potstill_tensor sum = potstill_sum(r);
    r = potstill_add(r, potstill_mul(sum, potstill_mean(r)));
    double one_zero[] = {1, 0};
    potstill_tensor index =
        potstill_broadcast_to(potstill_indices(one_zero, POTSTILL_SHAPE(1, 2)), POTSTILL_SHAPE(b, 2));
    potstill_tensor moved = potstill_scatter(potstill_gather(r, 1, index), 1, index, 4);
    potstill_tensor counted = potstill_sum_axes(potstill_one_hot(index, 4), POTSTILL_AXES(1));
    potstill_tensor turned = potstill_permute(potstill_reshape(r, POTSTILL_SHAPE(b, 2, 2)), POTSTILL_AXES(0, 2, 1));
    turned = potstill_reshape(potstill_transpose(turned), POTSTILL_SHAPE(b, 4));
    potstill_tensor middle = potstill_pad(potstill_slice(r, 1, 1, 2), 1, 1, 1);
    double up[] = {1, 2, 3, 4};
    potstill_tensor half = potstill_full(0.5, POTSTILL_SHAPE(4));
    potstill_tensor fixed = potstill_add(half, potstill_values(up, POTSTILL_SHAPE(4)));
    potstill_tensor total = potstill_add(potstill_add(potstill_add(moved, counted), turned), middle);
    total = potstill_add(total, potstill_stop_gradient(fixed));
    potstill_tensor gradient;
    potstill_grad(potstill_sum(total), &h, 1, &gradient);
    total = potstill_add(total, gradient);
    potstill_shape last = POTSTILL_SHAPE(4, outputs);
    return potstill_matmul(total, potstill_parameter(parameters, "last", last, potstill_orthogonal_init(0.01), 2));
}

const potstill_learner potstill_plugin = {
    .id = "test/every-operation-v1",
    .version = "0.1.0",
    .summary = "Every operation of the graph, once at least.",
    .size = sizeof(every_operation),
    .draw = draw,
    .forward = forward,
};
