/* Native plugins that violate the contract, one for each -DMODE=n. The tests compile them: host/tests/plugin/native.rs, and
 * isolate.rs for those that crash their process. */
#define _GNU_SOURCE
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "potstill.h"

enum {
    GOOD, WRONG_MAGIC, NEWER_MAJOR, NEWER_MINOR, SHORT_DESCRIPTION, UNKNOWN_ROLE, NO_ID, BAD_UTF8, NO_FUNCTIONS,
    SHORT_TABLE, NULL_STEP, HALF_SNAPSHOT, NULL_DESCRIPTION, NULL_OPTIONS, BAD_OPTION, NO_HANDLE, REFUSES, FAILS,
    UNKNOWN_CODE, NO_WORDS, UNKNOWN_SPACE, NULL_SHAPE, HUGE_SPACE, NAN_REWARD, NAN_OBSERVATION, BAD_FLAG, BOTH_FLAGS,
    STEP_FAILS, NULL_PICTURE, HUGE_PICTURE, OTHER_ID,
    /* These misbehave in `step`, or where the name says so. */
    ABORTS, SEGFAULTS, HANGS, EXITS, OVERFLOWS, KILLED, PRINTS, CLOSES_ALL, WRITES_TO_ALL, LEAVES_CHILD,
    ABORTS_ON_LOAD, HANGS_ON_LOAD, SEGFAULTS_IN_MAKE, SEGFAULTS_IN_RESET, HANGS_IN_DESTROY, EXITS_IN_DESTROY, SHARES, DIES_AT_ONCE
};
#ifndef MODE
#define MODE GOOD
#endif
#define IS(mode) (MODE == (mode))

static const char *last_error(void) { return IS(NO_WORDS) ? NULL : "these are my words"; }

static int32_t make(uint32_t n, const potstill_setting *s, uint32_t c, potstill_environments **out) {
    static int one;
    (void)n, (void)s, (void)c;
    if (IS(SEGFAULTS_IN_MAKE)) *(volatile int *)8 = 1;
    if (IS(REFUSES)) return POTSTILL_REFUSED;
    if (IS(FAILS) || IS(NO_WORDS)) return POTSTILL_FAILED;
    if (IS(UNKNOWN_CODE)) return 77;
    *out = IS(NO_HANDLE) ? NULL : (potstill_environments *)&one;
    return POTSTILL_OK;
}
static void hang(void) { for (volatile int i = 0;; i = 0) (void)i; }
static int overflow(volatile int *below) {
    volatile int here[4096] = {*below};
    return overflow(here) + here[1];
}
static void destroy(potstill_environments *e) {
    (void)e;
    if (IS(HANGS_IN_DESTROY)) hang();
    if (IS(EXITS_IN_DESTROY)) exit(7);
}

static int32_t spec(potstill_environments *e, potstill_spec *out) {
    static const uint32_t shape[] = {2}, huge[] = {4000000000u, 4000000000u};
    static const float low[] = {-1}, high[] = {1};
    (void)e;
    out->observation = (potstill_space){IS(UNKNOWN_SPACE) ? 9 : POTSTILL_BOX, 0, IS(HUGE_SPACE) ? 2 : 1, 1,
                                        IS(NULL_SHAPE) ? NULL : IS(HUGE_SPACE) ? huge : shape, low, high};
    out->action = (potstill_space){.kind = POTSTILL_DISCRETE, .n = 2};
    return POTSTILL_OK;
}

static int32_t reset(potstill_environments *e, const uint64_t *seeds, void *o) {
    (void)e, (void)seeds;
    if (IS(SEGFAULTS_IN_RESET)) *(volatile int *)8 = 1;
    ((float *)o)[0] = ((float *)o)[1] = IS(NAN_OBSERVATION) ? NAN : 0;
    return POTSTILL_OK;
}

static int32_t step(potstill_environments *e, const void *a, potstill_transition *t) {
    (void)e, (void)a;
    if (IS(STEP_FAILS)) return POTSTILL_FAILED;
    if (IS(ABORTS)) abort();
    if (IS(SEGFAULTS)) *(volatile int *)8 = 1;
    if (IS(HANGS)) hang();
    if (IS(EXITS)) exit(0);
    if (IS(OVERFLOWS)) overflow(&(volatile int){1});
    if (IS(KILLED)) kill(getpid(), SIGKILL);
    if (IS(PRINTS)) printf("printed by the plugin\n"), fflush(stdout);
    if (IS(CLOSES_ALL)) for (int file = 0; file < 1024; file++) close(file);
    if (IS(WRITES_TO_ALL)) for (int file = 3; file < 1024; file++) (void)!write(file, "garbage", 7);
    if (IS(LEAVES_CHILD) && fork() == 0) for (;;) pause();
    if (IS(LEAVES_CHILD)) abort();
    ((float *)t->observations)[0] = ((float *)t->observations)[1] = 0;
    /* All instances share this state, which the contract forbids. */
    static float steps;
    t->rewards[0] = IS(NAN_REWARD) ? NAN : IS(SHARES) ? steps++ : 1;
    t->terminated[0] = IS(BAD_FLAG) ? 7 : IS(BOTH_FLAGS);
    t->truncated[0] = IS(BOTH_FLAGS);
    return POTSTILL_OK;
}

static int32_t render(potstill_environments *e, uint32_t i, uint32_t mode, potstill_frame *f) {
    (void)e, (void)i, (void)mode;
    f->width = f->height = IS(HUGE_PICTURE) ? 4000000000u : 4;
    f->pixels = IS(NULL_PICTURE) ? NULL : (const uint8_t *)"";
    return POTSTILL_OK;
}
static int32_t snapshot(potstill_environments *e, const uint8_t **b, size_t *n) {
    (void)e;
    *b = NULL, *n = 0;
    return POTSTILL_OK;
}

static const potstill_environment functions = {
    .struct_size = IS(SHORT_TABLE) ? 16 : sizeof functions, .make = make, .destroy = destroy, .spec = spec,
    .reset = reset, .step = IS(NULL_STEP) ? NULL : step, .render = render,
    .snapshot = IS(HALF_SNAPSHOT) ? snapshot : NULL};
static const potstill_option bad_option[] = {{.name = "Bad Name", .help = "", .default_value = {.kind = POTSTILL_NUMBER}}};

static const potstill_plugin_description description = {
    .magic = IS(WRONG_MAGIC) ? 1 : POTSTILL_MAGIC,
    .abi_major = IS(NEWER_MAJOR) ? 99 : POTSTILL_ABI_MAJOR,
    .abi_minor = IS(NEWER_MINOR) ? 99 : POTSTILL_ABI_MINOR,
    .struct_size = IS(SHORT_DESCRIPTION) ? 24 : sizeof description,
    .role = IS(UNKNOWN_ROLE) ? 9 : POTSTILL_ENVIRONMENT,
    .id = IS(NO_ID) ? NULL : IS(BAD_UTF8) ? "\xff\xfe" : IS(OTHER_ID) ? "test/other-v1" : "test/native-v1",
    .version = "0.1.0",
    .summary = "Breaks the contract.",
    .options = IS(BAD_OPTION) ? bad_option : NULL,
    .option_count = IS(BAD_OPTION) || IS(NULL_OPTIONS),
    .functions = IS(NO_FUNCTIONS) ? NULL : &functions,
    .last_error = last_error};

POTSTILL_EXPORT const potstill_plugin_description *potstill_plugin(const potstill_host *host) {
    (void)host;
    if (IS(ABORTS_ON_LOAD)) abort();
    if (IS(HANGS_ON_LOAD)) hang();
    if (IS(DIES_AT_ONCE)) abort();
    return IS(NULL_DESCRIPTION) ? NULL : &description;
}
