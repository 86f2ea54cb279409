/* Three environments in one library: two versions of a counter, and one whose simulation fails in every third step of an
 * episode if the action is 1. Each renders the host's setup folder. -DMODE selects a violation of the contract. */
#include <stdio.h>
#include <stdlib.h>

#include "potstill.h"

enum { GOOD, CIRCLE, SAME_ID, SECOND_BROKEN, TOO_MANY, TWO_RELEASES, FAULT_WITHOUT_END, NEEDS_SETUP };
#ifndef MODE
#define MODE GOOD
#endif
#define IS(mode) (MODE == (mode))

struct potstill_environments {
    uint32_t copies, length;
    int fails;
    uint32_t counts[64];
};

static const potstill_host *the_host;

static const char *refusal;

static const char *last_error(void) { return refusal; }

/* Returns whether the data of the package `tiny` is where `plugin setup` installs it. */
static int is_set_up(void) {
    char path[4096];
    snprintf(path, sizeof path, "%s/tiny/tiny-1.0/tiny/data.txt", the_host->setup);
    FILE *data = fopen(path, "r");
    return data && !fclose(data);
}

static int32_t make(uint32_t n, potstill_environments **out, uint32_t length, int fails) {
    refusal = "at most 64 copies";
    if (n > 64) return POTSTILL_REFUSED;
    refusal = "no data; `potstill plugin setup tiny` fetches it";
    if (IS(NEEDS_SETUP) && !is_set_up()) return POTSTILL_REFUSED;
    if (!(*out = calloc(1, sizeof **out))) return POTSTILL_FAILED;
    (*out)->copies = n, (*out)->length = length, (*out)->fails = fails;
    return POTSTILL_OK;
}

static int32_t make_long(uint32_t n, const potstill_setting *s, uint32_t c, potstill_environments **out) {
    return (void)s, (void)c, make(n, out, 8, 0);
}
static int32_t make_short(uint32_t n, const potstill_setting *s, uint32_t c, potstill_environments **out) {
    return (void)s, (void)c, make(n, out, 5, 0);
}
static int32_t make_shaky(uint32_t n, const potstill_setting *s, uint32_t c, potstill_environments **out) {
    return (void)s, (void)c, make(n, out, 8, 1);
}

static void destroy(potstill_environments *e) { free(e); }

static int32_t spec(potstill_environments *e, potstill_spec *out) {
    static const uint32_t shape[] = {1};
    static const float low[] = {0}, high[] = {8};
    out->max_episode_steps = e->length;
    out->observation = (potstill_space){POTSTILL_BOX, 0, 1, 1, shape, low, high};
    out->action = (potstill_space){.kind = POTSTILL_DISCRETE, .n = 2};
    return POTSTILL_OK;
}

static int32_t reset(potstill_environments *e, const uint64_t *seeds, void *observations) {
    (void)seeds;
    for (uint32_t i = 0; i < e->copies; i++) e->counts[i] = 0, ((float *)observations)[i] = 0;
    return POTSTILL_OK;
}

static int32_t step(potstill_environments *e, const void *actions, potstill_transition *t) {
    float *final = t->final_observations;
    for (uint32_t i = 0; i < e->copies; i++) {
        int fault = ++e->counts[i] == 3 && e->fails && ((const uint32_t *)actions)[i] == 1;
        t->rewards[i] = 1, t->terminated[i] = 0;
        t->truncated[i] = fault || e->counts[i] == e->length;
        if (t->truncated[i]) *final++ = (float)e->counts[i], e->counts[i] = 0;
        ((float *)t->observations)[i] = (float)e->counts[i];
        if (IS(FAULT_WITHOUT_END)) fault = 1;
        if (fault && t->struct_size >= sizeof *t && t->faults) t->faults[i] = 1;
    }
    return POTSTILL_OK;
}

static int32_t render(potstill_environments *e, uint32_t index, uint32_t mode, potstill_frame *frame) {
    (void)e, (void)index;
    if (mode != POTSTILL_LINES) return POTSTILL_REFUSED;
    frame->text = the_host->setup;
    return POTSTILL_OK;
}

#define TABLE(name, maker)                                                                                         \
    static const potstill_environment name = {.struct_size = sizeof name, .make = maker, .destroy = destroy,       \
                                              .spec = spec, .reset = reset, .step = step, .render = render}
TABLE(of_long, make_long);
TABLE(of_short, make_short);
TABLE(of_shaky, make_shaky);

#define PLUGIN(its_id, its_functions, its_next)                                                                    \
    {.magic = POTSTILL_MAGIC, .abi_major = POTSTILL_ABI_MAJOR, .abi_minor = POTSTILL_ABI_MINOR,                     \
     .struct_size = sizeof(potstill_plugin_description), .role = POTSTILL_ENVIRONMENT, .id = its_id,               \
     .version = "1.0.0", .summary = "Counts.", .functions = its_functions, .last_error = last_error, .next = its_next}

POTSTILL_EXPORT const potstill_plugin_description *potstill_plugin(const potstill_host *host) {
    static potstill_plugin_description shaky = PLUGIN("test/shaky-v1", &of_shaky, NULL);
    static potstill_plugin_description second = PLUGIN("test/counter-v3", &of_short, &shaky);
    static potstill_plugin_description first = PLUGIN("test/counter-v2", &of_long, &second);
    the_host = host;
    if (IS(CIRCLE)) shaky.next = &first;
    if (IS(SAME_ID)) shaky.id = first.id;
    if (IS(SECOND_BROKEN)) second.role = 9;
    if (IS(TWO_RELEASES)) second.version = "2.0.0";
    if (IS(TOO_MANY)) {
        static potstill_plugin_description many[300];
        static char ids[300][16];
        for (int i = 0; i < 300; i++) {
            snprintf(ids[i], sizeof ids[i], "test/a%d-v1", i);
            many[i] = second, many[i].id = ids[i], many[i].next = i < 299 ? &many[i + 1] : NULL;
        }
        shaky.next = many;
    }
    return &first;
}
