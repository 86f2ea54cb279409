"""The main module of the component, which describes the plugin. `potstill plugin build` passes this file to
componentize-py, which expects a class named after the exported interface here, and the resource of the interface in the
module of that name."""

import plugin  # noqa: F401  The author's module, which exports a class.
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
