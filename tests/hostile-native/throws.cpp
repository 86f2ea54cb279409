/* A plugin in C++ whose `step` throws an exception into the host, which the contract forbids. */
#include <cmath>
#include <stdexcept>

#include "potstill.h"

static const char *last_error(void) { return ""; }
static int32_t make(uint32_t, const potstill_setting *, uint32_t, potstill_environments **out) {
    static int one;
    *out = reinterpret_cast<potstill_environments *>(&one);
    return POTSTILL_OK;
}
static void destroy(potstill_environments *) {}
static int32_t spec(potstill_environments *, potstill_spec *out) {
    static const uint32_t shape[] = {1};
    static const float low[] = {-1}, high[] = {1};
    out->observation = {POTSTILL_BOX, 0, 1, 1, shape, low, high};
    out->action.kind = POTSTILL_DISCRETE;
    out->action.n = 2;
    return POTSTILL_OK;
}
static int32_t reset(potstill_environments *, const uint64_t *, void *observations) {
    *static_cast<float *>(observations) = 0;
    return POTSTILL_OK;
}
static int32_t step(potstill_environments *, const void *, potstill_transition *) {
    throw std::runtime_error("nobody catches this");
}

extern "C" POTSTILL_EXPORT const potstill_plugin_description *potstill_plugin(const potstill_host *) {
    static potstill_environment functions = {};
    static potstill_plugin_description description = {};
    functions.struct_size = sizeof functions;
    functions.make = make, functions.destroy = destroy, functions.spec = spec;
    functions.reset = reset, functions.step = step;
    description.magic = POTSTILL_MAGIC;
    description.abi_major = POTSTILL_ABI_MAJOR, description.abi_minor = POTSTILL_ABI_MINOR;
    description.struct_size = sizeof description;
    description.role = POTSTILL_ENVIRONMENT;
    description.id = "test/native-v1", description.version = "0.1.0", description.summary = "Throws.";
    description.functions = &functions;
    description.last_error = last_error;
    return &description;
}
