"""Registers the plugin that a module provides."""

_exported = None


def export_environment(environment):
    """Makes this plugin provide the given `Environment`. Call it once."""
    _export("environment", environment)


def export_learner(learner):
    """Makes this plugin provide the given `Learner`. Call it once."""
    _export("learner", learner)


def export_objective(objective):
    """Makes this plugin provide the given `Objective`. Call it once."""
    _export("objective", objective)


def exported(role):
    """Returns the exported class of this role. Raises RuntimeError if there is none."""
    if _exported is None:
        raise RuntimeError(f"plugin.py exports nothing; end it with export_{role}(...)")
    if _exported[0] != role:
        raise RuntimeError(f"plugin.py exports a plugin of role {_exported[0]}, but plugin.toml says the role is {role}")
    return _exported[1]


def _export(role, plugin):
    global _exported
    _exported = role, plugin
