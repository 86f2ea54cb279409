/* Traces a learner or an objective as native code, for its author's tests. As in the host, the shape of every operation is
 * checked at once, and a mistake ends the program with file and line. Values are not computed: only the host does that.
 *
 * Link potstill_testing.c with the tests. It defines `potstill_fail`. */
#ifndef POTSTILL_TESTING_H
#define POTSTILL_TESTING_H

#include "potstill_graph.h"

/* Makes a tensor of `shape`, like one that the host passes to the plugin. */
potstill_tensor potstill_test_tensor(potstill_shape shape);

/* For objectives: sets the numbers of parameters and outputs of the learner. */
void potstill_test_network(size_t parameters, uint32_t outputs);

/* Ends the program with an error unless CONDITION is true. */
#define POTSTILL_CHECK(CONDITION) potstill_check(POTSTILL_HERE, CONDITION, #CONDITION)
void potstill_check(const char *file, uint32_t line, bool holds, const char *condition);

#endif
