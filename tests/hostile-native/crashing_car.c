/* The mountain car, changed to print to standard output when it starts to move, and to crash in its step number -DCRASH
 * (0 for never). */
#include <stdio.h>

#define potstill_plugin car_as_it_is
#include "../../examples/mountain-car/mountain_car.c"
#undef potstill_plugin

static int32_t crashing_step(potstill_environments *e, const void *actions, potstill_transition *t) {
    static uint32_t steps;
    if (++steps == 1) puts("brumm"), fflush(stdout);
    if (steps == CRASH) *(volatile int *)8 = 1;
    return step(e, actions, t);
}

POTSTILL_EXPORT const potstill_plugin_description *potstill_plugin(const potstill_host *host) {
    static potstill_environment crashing;
    static potstill_plugin_description described;
    described = *car_as_it_is(host);
    crashing = *(const potstill_environment *)described.functions;
    crashing.step = crashing_step;
    described.functions = &crashing;
    return &described;
}
