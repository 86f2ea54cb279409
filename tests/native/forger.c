/* An environment whose every text tries to command the terminal and to pose as lines of the host: its summary, an option's
 * help, its log, its pictures and its errors. It refuses to make more than 8 copies. -DSILENT: it draws
 * nothing. */
#include <stdlib.h>

#include "potstill.h"

/* A newline, an escape sequence, a carriage return, a control of C1, an override of direction, a line separator. */
#define FORGED "x\nforged\033]0;forged\007\r\nforged\t\302\233\342\200\256y\342\200\250forged"

/* A default with such characters is against the contract. */
#ifndef DEFAULT
#define DEFAULT "plain"
#endif

struct potstill_environments { uint32_t copies, steps; };

static const potstill_host *the_host;
static const char *last_error(void) { return FORGED; }

static int32_t make(uint32_t n, const potstill_setting *s, uint32_t c, potstill_environments **out) {
    (void)s, (void)c;
    the_host->log(2, FORGED);
    if (n > 8) return POTSTILL_REFUSED;
    if (!(*out = calloc(1, sizeof **out))) return POTSTILL_FAILED;
    (*out)->copies = n;
    return POTSTILL_OK;
}

static void destroy(potstill_environments *e) { free(e); }

static int32_t spec(potstill_environments *e, potstill_spec *out) {
    static const uint32_t shape[] = {1};
    static const float low[] = {0}, high[] = {1};
    (void)e;
    out->max_episode_steps = 3;
    out->observation = (potstill_space){POTSTILL_BOX, 0, 1, 1, shape, low, high};
    out->action = (potstill_space){.kind = POTSTILL_DISCRETE, .n = 2};
    return POTSTILL_OK;
}

static int32_t reset(potstill_environments *e, const uint64_t *seeds, void *observations) {
    (void)seeds, e->steps = 0;
    for (uint32_t i = 0; i < e->copies; i++) ((float *)observations)[i] = 0;
    return POTSTILL_OK;
}

static int32_t step(potstill_environments *e, const void *actions, potstill_transition *t) {
    (void)actions;
    int ends = ++e->steps % 3 == 0;
    for (uint32_t i = 0; i < e->copies; i++) {
        t->rewards[i] = 1, t->terminated[i] = 0, t->truncated[i] = ends;
        ((float *)t->observations)[i] = 0;
        if (ends) ((float *)t->final_observations)[i] = 0;
    }
    return POTSTILL_OK;
}

static int32_t render(potstill_environments *e, uint32_t index, uint32_t mode, potstill_frame *frame) {
    (void)e, (void)index;
#ifdef SILENT
    return (void)mode, (void)frame, POTSTILL_REFUSED;
#else
    if (mode != POTSTILL_LINES) return POTSTILL_REFUSED;
    frame->text = FORGED;
    return POTSTILL_OK;
#endif
}

POTSTILL_EXPORT const potstill_plugin_description *potstill_plugin(const potstill_host *host) {
    static const potstill_environment functions = {.struct_size = sizeof functions, .make = make, .destroy = destroy,
                                                   .spec = spec, .reset = reset, .step = step, .render = render};
    static const potstill_option options[] = {
        {.name = "word", .help = "right\342\200\256tfel", .default_value = {.kind = POTSTILL_TEXT, .text = DEFAULT}}};
    static const potstill_plugin_description plugin = {
        .magic = POTSTILL_MAGIC, .abi_major = POTSTILL_ABI_MAJOR, .abi_minor = POTSTILL_ABI_MINOR,
        .struct_size = sizeof plugin, .role = POTSTILL_ENVIRONMENT, .id = "test/forger-v1", .version = "1.0.0",
        .summary = FORGED, .options = options, .option_count = 1, .functions = &functions, .last_error = last_error};
    the_host = host;
    return &plugin;
}
