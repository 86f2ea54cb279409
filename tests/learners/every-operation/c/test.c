/* Without an argument, this checks that all shapes fit. With one, it makes a mistake, which must end the program. */
#include <stdlib.h>

#include "potstill_learner.h"
#include "potstill_testing.h"

static void its_shapes_fit(void) {
    static const potstill_learner_shape shape = {
        .observation = {.kind = POTSTILL_IMAGE, .rank = 3, .shape = {2, 6, 6}}, .outputs = 3};
    const char *error;
    potstill_architecture *drawn = potstill_draw(&shape, NULL, 0, 1, &error);
    size_t count;
    const potstill_declared *declared = potstill_declare(drawn, &count);
    potstill_tensor parameters[5];
    POTSTILL_CHECK(count == 5);
    for (size_t i = 0; i < count; i++) parameters[i] = potstill_test_tensor(declared[i].shape);
    potstill_tensor x = potstill_test_tensor(POTSTILL_SHAPE(5, 2, 6, 6));
    potstill_shape output = potstill_shape_of(potstill_forward(drawn, parameters, count, x));
    POTSTILL_CHECK(output.rank == 2 && output.size[0] == 5 && output.size[1] == 3);
}

static void mistake(int number) {
    potstill_tensor a = potstill_test_tensor(POTSTILL_SHAPE(2, 3)), b = potstill_test_tensor(POTSTILL_SHAPE(2, 2));
    potstill_tensor row = potstill_test_tensor(POTSTILL_SHAPE(3)), both[] = {a, row};
    potstill_tensor picture = potstill_test_tensor(POTSTILL_SHAPE(1, 2, 5, 5));
    switch (number) {
    case 1: potstill_add(a, b); break;
    case 2: potstill_reshape(a, POTSTILL_SHAPE(4, 2)); break;
    case 3: potstill_sum_axes(a, POTSTILL_AXES(2)); break;
    case 4: potstill_softmax(a, -3); break;
    case 5: potstill_matmul(a, a); break;
    case 6: potstill_matmul(a, row); break;
    case 7: potstill_conv2d(picture, potstill_test_tensor(POTSTILL_SHAPE(4, 3, 3, 3)), 1, 0); break;
    case 8: potstill_conv2d(picture, potstill_test_tensor(POTSTILL_SHAPE(4, 2, 7, 7)), 1, 0); break;
    case 9: potstill_max_pool2d(a, 2, 2, 0); break;
    case 10: potstill_gather(a, 1, row); break;
    case 11: potstill_scatter(a, 1, b, 5); break;
    case 12: potstill_permute(a, POTSTILL_AXES(0, 0)); break;
    case 13: potstill_broadcast_to(a, POTSTILL_SHAPE(3)); break;
    case 14: potstill_slice(a, 1, 2, 2); break;
    case 15: potstill_concat(both, 2, 0); break;
    case 16: potstill_grad(a, &a, 1, &b); break;
    }
}

int main(int count, char **arguments) {
    if (count > 1)
        mistake(atoi(arguments[1]));
    else
        its_shapes_fit();
    return 0;
}
