/* What the components of the roles share: the contract's types from and to the SDK's. */
#ifndef POTSTILL_COMPONENT_SHARED_H
#define POTSTILL_COMPONENT_SHARED_H

#include "../potstill_graph.h"
#include "plugin.h" /* of bindings/ROLE, which is on the include path */

typedef plugin_string_t string;

/* NULL for nothing: the bindings free no empty list, so one byte for it would be lost in every step. */
void *component_allocate(size_t size);
void *component_copy_of(const void *bytes, size_t size);
plugin_list_u32_t component_list_u32(const uint32_t *values, size_t count);

/* False, which says `err` in these bindings, and the error's text; true where there is none. */
bool component_done(const char *error, string *err);

void component_describe(const char *id, const char *version, const char *summary,
                        potstill_plugin_types_description_t *ret);
potstill_plugin_types_option_schema_t *component_schemas_of(const potstill_option *options, size_t *len);

/* The user's settings; `component_settings_free` wants the contract's, too, which must still be there. */
potstill_setting *component_settings_of(const potstill_plugin_types_setting_t *settings, size_t count);
void component_settings_free(potstill_setting *values, const potstill_plugin_types_setting_t *settings, size_t count);

potstill_plugin_types_space_t component_space_to(const potstill_space *space);
/* Points into the contract's, which must stay. */
potstill_space component_space_of(const potstill_plugin_types_space_t *space);

/* Of learners and objectives. */
plugin_list_u32_t component_dimensions(const potstill_shape *shape);

#endif
