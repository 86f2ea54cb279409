/* Tests the learner as native code: `make test`. */
#include <stdio.h>
#include <string.h>

#include "potstill_learner.h"
#include "potstill_testing.h"

static const potstill_learner_shape shape = {
    .observation = {.kind = POTSTILL_BOX, .rank = 2, .shape = {3, 2}},
    .outputs = 4,
};

static potstill_architecture *drawn(int64_t least, int64_t most, uint64_t seed, const char **error) {
    potstill_setting settings[] = {
        {.name = "least", .value.integer = least},
        {.name = "most", .value.integer = most},
    };
    return potstill_draw(&shape, settings, 2, seed, error);
}

static void declares_its_parameters(void) {
    static const struct {
        const char *name;
        uint32_t rank;
        int64_t size[2];
    } expected[] = {
        {"hidden.weight", 2, {6, 8}},
        {"hidden.bias", 1, {8}},
        {"output.weight", 2, {8, 4}},
        {"output.bias", 1, {4}},
    };
    const char *error;
    potstill_architecture *perceptron = drawn(8, 8, 1, &error);
    size_t count;
    const potstill_declared *declared = potstill_declare(perceptron, &count);
    POTSTILL_CHECK(count == 4);
    potstill_tensor parameters[4];
    for (size_t i = 0; i < count; i++) {
        POTSTILL_CHECK(strcmp(declared[i].name, expected[i].name) == 0 && declared[i].shape.rank == expected[i].rank);
        for (uint32_t j = 0; j < expected[i].rank; j++) POTSTILL_CHECK(declared[i].shape.size[j] == expected[i].size[j]);
        parameters[i] = potstill_test_tensor(declared[i].shape);
    }
    potstill_tensor x = potstill_test_tensor(POTSTILL_SHAPE(5, 3, 2));
    potstill_shape output = potstill_shape_of(potstill_forward(perceptron, parameters, count, x));
    POTSTILL_CHECK(output.rank == 2 && output.size[0] == 5 && output.size[1] == 4);
    potstill_architecture_drop(perceptron);
}

static void the_seed_determines_the_width(void) {
    char first[POTSTILL_NAME], name[POTSTILL_NAME];
    const char *error;
    bool differ = false;
    for (uint64_t seed = 0; seed < 10; seed++) {
        potstill_architecture *perceptron = drawn(64, 128, seed, &error), *again = drawn(64, 128, seed, &error);
        potstill_architecture_name(perceptron, name);
        if (seed == 0) memcpy(first, name, sizeof first);
        differ |= strcmp(first, name) != 0;
        char same[POTSTILL_NAME];
        potstill_architecture_name(again, same);
        POTSTILL_CHECK(strcmp(name, same) == 0);
        potstill_architecture_drop(perceptron);
        potstill_architecture_drop(again);
    }
    POTSTILL_CHECK(differ);
}

static void rejects_an_empty_range_of_widths(void) {
    const char *error;
    POTSTILL_CHECK(!drawn(9, 8, 1, &error) && strcmp(error, "`least` is above `most`") == 0);
}

int main(void) {
    declares_its_parameters();
    the_seed_determines_the_width();
    rejects_an_empty_range_of_widths();
    puts("3 tests passed");
    return 0;
}
