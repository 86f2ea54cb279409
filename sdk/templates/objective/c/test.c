/* Tests the objective as native code: `make test`. */
#include <stdio.h>
#include <string.h>

#include "potstill_objective.h"
#include "potstill_testing.h"

static const potstill_task task = {
    .observation = {.kind = POTSTILL_BOX, .rank = 1, .shape = {4}},
    .action = {.kind = POTSTILL_DISCRETE, .n = 2},
    .instances = 3,
    .outputs = 2,
};

static void traces_a_scalar_loss_through_the_inner_step(void) {
    const char *error;
    potstill_instance *objective = potstill_objective_make(&task, NULL, 0, &error);
    POTSTILL_CHECK(objective);
    size_t count;
    const potstill_meta_parameter *parts = potstill_objective_theta(objective, &count);
    POTSTILL_CHECK(count == 3 && strcmp(parts[0].name, "x") == 0 && parts[0].shape.size[0] == 3);
    potstill_tensor theta[3];
    for (size_t i = 0; i < count; i++) theta[i] = potstill_test_tensor(parts[i].shape);

    potstill_test_network(2, task.outputs);
    potstill_tensor fresh[] = {potstill_test_tensor(POTSTILL_SHAPE(4, 8)), potstill_test_tensor(POTSTILL_SHAPE(8, 2))};
    potstill_tensor taught[2];
    potstill_objective_inner(objective, theta, fresh, 2, taught);
    for (int i = 0; i < 2; i++) {
        potstill_shape before = potstill_shape_of(fresh[i]), after = potstill_shape_of(taught[i]);
        POTSTILL_CHECK(before.rank == after.rank && memcmp(before.size, after.size, sizeof before.size) == 0);
    }

    /* A batch of 16 transitions, in the order of `columns`. */
    potstill_outer outer = {.fresh = fresh, .taught = taught, .parameters = 2};
    outer.columns[0] = potstill_test_tensor(POTSTILL_SHAPE(16, 4));
    outer.columns[1] = outer.columns[2] = potstill_test_tensor(POTSTILL_SHAPE(16, 1));
    POTSTILL_CHECK(potstill_shape_of(potstill_objective_outer(objective, theta, &outer)).rank == 0);
    POTSTILL_CHECK(outer.metric_count == 2);
    for (size_t i = 0; i < outer.metric_count; i++) POTSTILL_CHECK(potstill_shape_of(outer.metrics[i].value).rank == 0);
    potstill_objective_drop(objective);
}

int main(void) {
    traces_a_scalar_loss_through_the_inner_step();
    puts("1 test passed");
    return 0;
}
