/* What the components of all roles share: conversions between the types of the contract and of the SDK. */
#ifndef POTSTILL_COMPONENT_SHARED_H
#define POTSTILL_COMPONENT_SHARED_H

#include "../potstill_graph.h"
#include "plugin.h" /* of bindings/ROLE, which is on the include path */

typedef plugin_string_t string;

/* Allocates memory. Returns NULL for size 0, because the bindings do not free empty lists, so that any block would leak. */
void *component_allocate(size_t size);
void *component_copy_of(const void *bytes, size_t size);
plugin_list_u32_t component_list_u32(const uint32_t *values, size_t count);

/* Returns the result that the bindings expect: true if `error` is NULL, else false with a copy of the text in `err`. */
bool component_done(const char *error, string *err);

void component_describe(const char *id, const char *version, const char *summary,
                        potstill_plugin_types_description_t *ret);
potstill_plugin_types_option_schema_t *component_schemas_of(const potstill_option *options, size_t *len);

/* Converts the user's settings. `component_settings_free` also needs the settings of the contract, so free those later. */
potstill_setting *component_settings_of(const potstill_plugin_types_setting_t *settings, size_t count);
void component_settings_free(potstill_setting *values, const potstill_plugin_types_setting_t *settings, size_t count);

potstill_plugin_types_space_t component_space_to(const potstill_space *space);
/* Converts a space of the contract. The result points into `space`, which must outlive it. */
potstill_space component_space_of(const potstill_plugin_types_space_t *space);

/* Converts a shape. Only learners and objectives have it. */
plugin_list_u32_t component_dimensions(const potstill_shape *shape);

#endif
