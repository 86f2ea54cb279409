/* What every role of a Potstill plugin in C shares: random numbers, spaces, options. An author includes the header of a
 * role, which includes this one. */
#ifndef POTSTILL_COMMON_H
#define POTSTILL_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Random numbers -------------------------------------------------------------------------------------------- */

/* A random stream: SplitMix64 (Steele, Lea and Flood, 2014), whose seed is mixed first. The same
 * numbers as `potstill_sdk::Rng` gives in Rust. */
typedef struct {
    uint64_t state;
} potstill_rng;

/* The stream that belongs to `seed`. */
potstill_rng potstill_seeded(uint64_t seed);
/* The next 64 random bits. */
uint64_t potstill_next(potstill_rng *rng);
/* Uniform in [0, 1), with 53 random bits. */
double potstill_uniform(potstill_rng *rng);
/* Uniform in [low, high). */
double potstill_uniform_in(potstill_rng *rng, double low, double high);
/* Uniform in 0..n, without the bias of a remainder; 0 when `n` is 0. */
uint64_t potstill_below(potstill_rng *rng, uint64_t n);

/* ---- Spaces ---------------------------------------------------------------------------------------------------- */

typedef enum { POTSTILL_BOX, POTSTILL_DISCRETE, POTSTILL_MULTI_DISCRETE, POTSTILL_IMAGE } potstill_space_kind;

/* Arrays that an environment's space points to are read when `spec` has returned, so they must not be locals of `spec`. */
typedef struct {
    potstill_space_kind kind;
    /* Box, image: dimensions of one sample. Multi-discrete: one. */
    uint32_t rank;
    uint32_t shape[4];
    /* Box: bounds, one for all elements (`bounds` is 1) or one per element. */
    uint32_t bounds;
    const float *low, *high;
    float same_low, same_high;
    /* Discrete: number of choices. Multi-discrete: choices of each of `shape[0]` components. */
    uint32_t n;
    const uint32_t *nvec;
} potstill_space;

/* `size` real numbers, all within `low..high`; `-INFINITY` and `INFINITY` where there is no bound. */
potstill_space potstill_box(uint32_t size, float low, float high);
/* `size` real numbers with bounds of their own. */
potstill_space potstill_box_of(uint32_t size, const float *low, const float *high);
/* An integer in 0..n. */
potstill_space potstill_discrete(uint32_t n);
/* One integer in 0..nvec[i] for each of `size` components. */
potstill_space potstill_multi_discrete(uint32_t size, const uint32_t *nvec);
/* Bytes: `channels` pictures of `height` rows of `width` pixels. */
potstill_space potstill_image(uint32_t channels, uint32_t height, uint32_t width);

/* ---- Options --------------------------------------------------------------------------------------------------- */

typedef enum { POTSTILL_INTEGER, POTSTILL_NUMBER, POTSTILL_BOOLEAN, POTSTILL_TEXT } potstill_option_kind;

typedef union {
    int64_t integer;
    double number;
    bool boolean;
    const char *text;
} potstill_value;

/* One option that the plugin accepts: `--set NAME=VALUE`. Write it with one of the macros below. */
typedef struct {
    /* Lower case, digits and dashes. */
    const char *name;
    /* One sentence. */
    const char *help;
    potstill_option_kind kind;
    potstill_value fallback, min, max;
    /* Texts: the allowed ones, then NULL; or NULL for any. */
    const char *const *choices;
} potstill_option;

#define POTSTILL_INTEGER_OPTION(NAME, HELP, MIN, MAX, DEFAULT)                                                       \
    { .name = NAME, .help = HELP, .kind = POTSTILL_INTEGER, .fallback.integer = DEFAULT, .min.integer = MIN,         \
      .max.integer = MAX }
#define POTSTILL_NUMBER_OPTION(NAME, HELP, MIN, MAX, DEFAULT)                                                        \
    { .name = NAME, .help = HELP, .kind = POTSTILL_NUMBER, .fallback.number = DEFAULT, .min.number = MIN,            \
      .max.number = MAX }
#define POTSTILL_BOOLEAN_OPTION(NAME, HELP, DEFAULT)                                                                 \
    { .name = NAME, .help = HELP, .kind = POTSTILL_BOOLEAN, .fallback.boolean = DEFAULT }
#define POTSTILL_TEXT_OPTION(NAME, HELP, CHOICES, DEFAULT)                                                           \
    { .name = NAME, .help = HELP, .kind = POTSTILL_TEXT, .fallback.text = DEFAULT, .choices = CHOICES }

/* The options that the plugin was made with: every declared one, within its limits. */
typedef struct potstill_options potstill_options;

/* The value of an option. Asking for one that is not declared with this type ends the plugin. */
int64_t potstill_integer(const potstill_options *options, const char *name);
double potstill_number(const potstill_options *options, const char *name);
bool potstill_boolean(const potstill_options *options, const char *name);
/* Valid as long as what was made. */
const char *potstill_text(const potstill_options *options, const char *name);

/* An option and its value. */
typedef struct {
    const char *name;
    potstill_value value;
} potstill_setting;

/* Ends the plugin; `message` reaches the user. For faults of the plugin: what a user can cause, the function that makes a
 * copy, a learner or an objective returns. */
_Noreturn void potstill_fail(const char *message);

/* ---- For the SDK itself ---------------------------------------------------------------------------------------- */

/* Zeroed; never NULL. */
void *potstill_allocate(size_t count, size_t size);
/* The declared options with these values, otherwise the defaults. */
potstill_options *potstill_options_of(const potstill_option *declared, const potstill_setting *settings, size_t count);
void potstill_options_drop(potstill_options *options);

#ifdef __cplusplus
}
#endif
#endif
