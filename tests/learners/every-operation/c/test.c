#include "potstill_learner.h"
#include "potstill_testing.h"

int main(void) {
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
    return 0;
}
