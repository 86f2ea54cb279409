"""The component's entry: who the plugin is. `potstill plugin build` hands this file to componentize-py, which looks for
a class named like the exported interface here, and for the interface's resource in the module of that name."""

import plugin  # noqa: F401  The author's; it exports a class.
from potstill_contract import guarded, kind_of, value_of
from potstill_sdk.export import exported
from wit_world import exports
from wit_world.imports import types

ROLE = next(role for role in ("environment", "learner", "objective") if hasattr(exports, role.capitalize()))
EXPORTED = exported(ROLE)


class Plugin:
    @guarded
    def describe(self):
        return types.Description(EXPORTED.ID, EXPORTED.VERSION, EXPORTED.SUMMARY, "0.1")

    @guarded
    def options(self):
        return [
            types.OptionSchema(o.name, o.help, kind_of(o.kind), value_of(o.kind, o.default)) for o in EXPORTED.OPTIONS
        ]


Environment = Learner = Objective = Plugin
