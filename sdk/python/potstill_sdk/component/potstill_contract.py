"""Converts between the types of the contract and of the SDK, and reports exceptions to the host."""

import functools

import potstill_sdk
from componentize_py_types import Err
from potstill_sdk import Boolean, Box, Discrete, Image, Integer, InvalidOptions, MultiDiscrete, Number
from potstill_sdk.options import as_keywords
from wit_world.imports import log, types

_COMPONENT, _SDK = (file.rpartition("/")[0] for file in (__file__, potstill_sdk.__file__))


def _place(traceback):
    """Returns the innermost line of the author's code. The module `traceback` cannot be used, because it reads source
    files and the sandbox has none."""
    place = ""
    while traceback:
        folder, _, file = traceback.tb_frame.f_code.co_filename.rpartition("/")
        if folder not in (_COMPONENT, _SDK):
            place = f" ({file}:{traceback.tb_lineno})"
        traceback = traceback.tb_next
    return place


def guarded(function):
    """Wraps `function` so that it logs an unexpected exception, because the trap that follows carries no message."""

    @functools.wraps(function)
    def call(*arguments):
        try:
            return function(*arguments)
        except Err:
            raise
        except BaseException as error:
            log.write(log.Level.ERROR, f"{type(error).__name__}: {error}{_place(error.__traceback__)}")
            raise

    return call


def made(plugin, settings, *arguments):
    """Makes an instance of the author's class with these options. `InvalidOptions` becomes the error of the contract."""
    try:
        return plugin(*arguments, **as_keywords(plugin, {s.name: s.value.value for s in settings}))
    except InvalidOptions as error:
        raise Err(str(error)) from None


def to_contract(space):
    """Converts a space to the contract's type."""
    if isinstance(space, Box):
        low, high = ([b] if isinstance(b, (int, float)) else list(b) for b in (space.low, space.high))
        return types.Space_Box(types.BoxSpace(list(space.shape), low, high))
    if isinstance(space, Discrete):
        return types.Space_Discrete(space.n)
    if isinstance(space, MultiDiscrete):
        return types.Space_MultiDiscrete(list(space.nvec))
    if isinstance(space, Image):
        return types.Space_Image(list(space.shape))
    raise TypeError(f"{space!r} is not a space")


def from_contract(space):
    """Converts a space of the contract to the SDK's type."""
    if isinstance(space, types.Space_Box):
        return Box(space.value.shape, space.value.low, space.value.high)
    if isinstance(space, types.Space_Discrete):
        return Discrete(space.value)
    if isinstance(space, types.Space_MultiDiscrete):
        return MultiDiscrete(space.value)
    return Image(space.value)


def value_of(kind, value):
    """Converts the value of an option to the contract's type."""
    if isinstance(kind, Integer):
        return types.OptionValue_Integer(value)
    if isinstance(kind, Number):
        return types.OptionValue_Number(value)
    if isinstance(kind, Boolean):
        return types.OptionValue_Boolean(value)
    return types.OptionValue_Text(value)


def kind_of(kind):
    """Converts the type and limits of an option to the contract's type."""
    if isinstance(kind, Integer):
        return types.OptionKind_Integer(types.IntegerRange(kind.min, kind.max))
    if isinstance(kind, Number):
        return types.OptionKind_Number(types.NumberRange(kind.min, kind.max))
    if isinstance(kind, Boolean):
        return types.OptionKind_Boolean()
    return types.OptionKind_Text(list(kind.choices))
