"""How a module says which plugin it is."""

_exported = None


def export_environment(environment):
    """Makes the module's plugin provide this `Environment`. Once per plugin."""
    _export("environment", environment)


def export_learner(learner):
    """Makes the module's plugin provide this `Learner`. Once per plugin."""
    _export("learner", learner)


def export_objective(objective):
    """Makes the module's plugin provide this `Objective`. Once per plugin."""
    _export("objective", objective)


def exported(role):
    """The plugin of this role. RuntimeError where there is none."""
    if _exported is None:
        raise RuntimeError(f"plugin.py exports nothing; end it with export_{role}(...)")
    if _exported[0] != role:
        raise RuntimeError(f"plugin.py exports the {_exported[0]}, plugin.toml says the role is {role}")
    return _exported[1]


def _export(role, plugin):
    global _exported
    _exported = role, plugin
