/* Traces a learner or an objective as native code, for its author's tests: every shape is checked where it arises, as the
 * host does it, and a mistake ends the program with file and line. What numbers come out, only the host knows.
 *
 * Link potstill_testing.c with the tests. It defines `potstill_fail`. */
#ifndef POTSTILL_TESTING_H
#define POTSTILL_TESTING_H

#include "potstill_graph.h"

/* A tensor as the host gives them. */
potstill_tensor potstill_test_tensor(potstill_shape shape);

/* For objectives: how many parameters the learner has, and how many outputs. */
void potstill_test_network(size_t parameters, uint32_t outputs);

/* Ends the program where CONDITION is not true. */
#define POTSTILL_CHECK(CONDITION) potstill_check(POTSTILL_HERE, CONDITION, #CONDITION)
void potstill_check(const char *file, uint32_t line, bool holds, const char *condition);

#endif
