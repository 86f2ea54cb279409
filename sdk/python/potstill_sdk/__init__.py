"""The Python SDK for authors of Potstill plugins. It needs no other package, so you can test a plugin in plain Python."""

from . import loss
from .environment import Environment, Picture, Spec, Step, Vectorised
from .export import export_environment, export_learner, export_objective
from .graph import Tensor, grad
from .learner import Init, Learner, LearnerShape, Parameters
from .objective import (
    Batch,
    Data,
    MetaInit,
    MetaParameter,
    Network,
    Objective,
    Outcome,
    Outer,
    Task,
    Theta,
    default_theta,
)
from .options import Boolean, Integer, InvalidOptions, Number, Option, Text
from .rng import Rng
from .spaces import Box, Discrete, Image, MultiDiscrete

__all__ = [
    "Batch",
    "Boolean",
    "Box",
    "Data",
    "Discrete",
    "Environment",
    "Image",
    "Init",
    "Integer",
    "InvalidOptions",
    "Learner",
    "LearnerShape",
    "MetaInit",
    "MetaParameter",
    "MultiDiscrete",
    "Network",
    "Number",
    "Objective",
    "Option",
    "Outcome",
    "Outer",
    "Parameters",
    "Picture",
    "Rng",
    "Spec",
    "Step",
    "Task",
    "Tensor",
    "Text",
    "Theta",
    "Vectorised",
    "default_theta",
    "export_environment",
    "export_learner",
    "export_objective",
    "grad",
    "loss",
]
