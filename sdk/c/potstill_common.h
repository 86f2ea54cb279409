/* Random numbers, spaces and options, which all roles of Potstill plugins in C share. An author includes the header of a
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

/* A random stream: SplitMix64 (Steele, Lea and Flood, 2014), whose seed is mixed first. It gives the same numbers as
 * `potstill_sdk::Rng` in Rust. */
typedef struct {
    uint64_t state;
} potstill_rng;

/* Starts the stream of `seed`. */
potstill_rng potstill_seeded(uint64_t seed);
/* Draws 64 random bits. */
uint64_t potstill_next(potstill_rng *rng);
/* Draws uniformly from [0, 1), with 53 random bits. */
double potstill_uniform(potstill_rng *rng);
/* Draws uniformly from [low, high). */
double potstill_uniform_in(potstill_rng *rng, double low, double high);
/* Draws uniformly from 0, ..., n - 1, without modulo bias. Returns 0 if `n` is 0. */
uint64_t potstill_below(potstill_rng *rng, uint64_t n);

/* ---- Spaces ---------------------------------------------------------------------------------------------------- */

typedef enum { POTSTILL_BOX, POTSTILL_DISCRETE, POTSTILL_MULTI_DISCRETE, POTSTILL_IMAGE } potstill_space_kind;

/* A space of observations or actions. Its arrays are read after `spec` has returned, so they must not be local variables of
 * `spec`. */
typedef struct {
    potstill_space_kind kind;
    /* The number of dimensions of one sample, for a box or an image; 1 for multi-discrete. */
    uint32_t rank;
    uint32_t shape[4];
    /* The bounds of a box: one for all elements (`bounds` is 1) or one per element. */
    uint32_t bounds;
    const float *low, *high;
    float same_low, same_high;
    /* `n` is the number of choices of a discrete space, `nvec` that of each of the `shape[0]` components of a
     * multi-discrete space. */
    uint32_t n;
    const uint32_t *nvec;
} potstill_space;

/* Makes a box of `size` real numbers from `low` to `high`. Use `-INFINITY` and `INFINITY` for no bound. */
potstill_space potstill_box(uint32_t size, float low, float high);
/* Makes a box of `size` real numbers, each with its own bounds. */
potstill_space potstill_box_of(uint32_t size, const float *low, const float *high);
/* Makes a space of one integer in 0, ..., n - 1. */
potstill_space potstill_discrete(uint32_t n);
/* Makes a space of `size` integers, the i-th in 0, ..., nvec[i] - 1. */
potstill_space potstill_multi_discrete(uint32_t size, const uint32_t *nvec);
/* Makes a space of bytes: `channels` images of `height` rows of `width` pixels. */
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
    /* The name, in lower-case letters, digits and dashes. */
    const char *name;
    /* A description in one sentence. */
    const char *help;
    potstill_option_kind kind;
    potstill_value fallback, min, max;
    /* For a text option: the accepted texts, then NULL; or NULL to accept any text. */
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

/* The values of the options. Every declared option has a value within its limits. */
typedef struct potstill_options potstill_options;

/* Returns the value of an option. The plugin stops if it does not declare the option with this type. */
int64_t potstill_integer(const potstill_options *options, const char *name);
double potstill_number(const potstill_options *options, const char *name);
bool potstill_boolean(const potstill_options *options, const char *name);
/* Returns the value of a text option, which is valid as long as the copy, learner or objective. */
const char *potstill_text(const potstill_options *options, const char *name);

/* An option and its value. */
typedef struct {
    const char *name;
    potstill_value value;
} potstill_setting;

/* Stops the plugin with a message for the user. Use it for faults of the plugin only. For errors that a user can cause,
 * return a message from the function that makes a copy, a learner or an objective. */
_Noreturn void potstill_fail(const char *message);

/* ---- For the SDK itself ---------------------------------------------------------------------------------------- */

/* Allocates zeroed memory, and stops the plugin if there is none. */
void *potstill_allocate(size_t count, size_t size);
/* Makes the options from these settings. Options that are not set have their defaults. */
potstill_options *potstill_options_of(const potstill_option *declared, const potstill_setting *settings, size_t count);
void potstill_options_drop(potstill_options *options);

#ifdef __cplusplus
}
#endif
#endif
