/* Tests the environment as native code: `make test`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "potstill_environment.h"

_Noreturn void potstill_fail(const char *message) {
    fprintf(stderr, "failed: %s\n", message);
    exit(1);
}

#define CHECK(CONDITION)                                                                                             \
    do {                                                                                                             \
        if (!(CONDITION)) {                                                                                          \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #CONDITION);                                \
            exit(1);                                                                                                 \
        }                                                                                                            \
    } while (0)

enum { COPIES = 100 };

static float observations[COPIES], rewards[COPIES];
static uint8_t terminated[COPIES], truncated[COPIES];
static potstill_transition out = {
    .observations = observations, .rewards = rewards, .terminated = terminated, .truncated = truncated};

static potstill_copies *corridors(uint32_t copies) {
    const char *error;
    potstill_copies *made = potstill_make(copies, NULL, 0, &error);
    CHECK(made);
    return made;
}

static void seeds_determine_where_it_starts(void) {
    uint64_t seeds[COPIES];
    float first[COPIES];
    bool differ = false;
    for (uint64_t i = 0; i < COPIES; i++) seeds[i] = i;
    potstill_copies *copies = corridors(COPIES);
    CHECK(!potstill_reset(copies, seeds, COPIES, first));
    CHECK(!potstill_reset(copies, seeds, COPIES, observations));
    CHECK(memcmp(first, observations, sizeof first) == 0);
    for (int i = 0; i < COPIES; i++) {
        CHECK(first[i] >= 0.1f && first[i] <= 0.9f);
        differ |= first[i] != first[0];
    }
    CHECK(differ);
    potstill_drop(copies);
}

static void the_right_end_pays_and_ends_the_episode(void) {
    potstill_copies *copies = corridors(1);
    uint64_t seed = 7;
    uint32_t right = 1;
    float before;
    CHECK(!potstill_reset(copies, &seed, 1, &before));
    for (int i = 0; i < 10; i++) {
        CHECK(!potstill_take_step(copies, &right, 1, &out));
        if (terminated[0]) break;
        CHECK(rewards[0] == 0 && observations[0] > before);
        before = observations[0];
    }
    CHECK(terminated[0] && rewards[0] == 1 && out.ended == 1);
    CHECK(*(const float *)out.final_observations == 1);
    potstill_drop(copies);
}

static void restores_a_snapshot(void) {
    potstill_copies *copies = corridors(2);
    uint64_t seeds[2] = {1, 2};
    float seen[2][50][2];
    size_t length;
    CHECK(!potstill_reset(copies, seeds, 2, observations));
    uint8_t *state = potstill_snapshot(copies, &length);
    CHECK(state);
    for (int turn = 0; turn < 2; turn++) {
        for (uint32_t i = 0; i < 50; i++) {
            uint32_t actions[2] = {i / 3 % 2, 1};
            CHECK(!potstill_take_step(copies, actions, 2, &out));
            memcpy(seen[turn][i], observations, sizeof seen[turn][i]);
        }
        CHECK(!potstill_restore(copies, state, length));
    }
    CHECK(memcmp(seen[0], seen[1], sizeof seen[0]) == 0);
    free(state);
    potstill_drop(copies);
}

int main(void) {
    seeds_determine_where_it_starts();
    the_right_end_pays_and_ends_the_episode();
    restores_a_snapshot();
    puts("3 tests passed");
    return 0;
}
