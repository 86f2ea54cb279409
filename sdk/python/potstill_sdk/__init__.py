"""What the author of a Potstill plugin writes against, in Python. Plain Python: no package is needed to test with it."""

from .environment import (
    Boolean,
    Box,
    Discrete,
    Environment,
    Image,
    Integer,
    InvalidOptions,
    MultiDiscrete,
    Number,
    Option,
    Picture,
    Spec,
    Step,
    Text,
    Vectorised,
    export_environment,
)
from .rng import Rng

__all__ = [
    "Boolean",
    "Box",
    "Discrete",
    "Environment",
    "Image",
    "Integer",
    "InvalidOptions",
    "MultiDiscrete",
    "Number",
    "Option",
    "Picture",
    "Rng",
    "Spec",
    "Step",
    "Text",
    "Vectorised",
    "export_environment",
]
