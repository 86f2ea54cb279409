"""The component's entry: who the plugin is. `potstill plugin build` hands this file to componentize-py, which looks for
a class named like the exported interface here, and for the interface's resource in the module `environment`."""

from environment import guarded
from potstill_sdk import Boolean, Integer, Number
from potstill_sdk.environment import exported
from wit_world import exports
from wit_world.imports import types

import plugin  # noqa: F401  The author's; it calls export_environment.

EXPORTED = exported()


def _value(kind, value):
    if isinstance(kind, Integer):
        return types.OptionValue_Integer(value)
    if isinstance(kind, Number):
        return types.OptionValue_Number(value)
    if isinstance(kind, Boolean):
        return types.OptionValue_Boolean(value)
    return types.OptionValue_Text(value)


def _kind(kind):
    if isinstance(kind, Integer):
        return types.OptionKind_Integer(types.IntegerRange(kind.min, kind.max))
    if isinstance(kind, Number):
        return types.OptionKind_Number(types.NumberRange(kind.min, kind.max))
    if isinstance(kind, Boolean):
        return types.OptionKind_Boolean()
    return types.OptionKind_Text(list(kind.choices))


class Environment(exports.Environment):
    @guarded
    def describe(self):
        return types.Description(EXPORTED.ID, EXPORTED.VERSION, EXPORTED.SUMMARY, "0.1")

    @guarded
    def options(self):
        return [
            types.OptionSchema(o.name, o.help, _kind(o.kind), _value(o.kind, o.default)) for o in EXPORTED.OPTIONS
        ]
