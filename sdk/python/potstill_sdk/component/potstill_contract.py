"""The contract's types from and to the SDK's, and what becomes of an exception."""

import functools

import potstill_sdk
from componentize_py_types import Err
from potstill_sdk import Boolean, Box, Discrete, Image, Integer, InvalidOptions, MultiDiscrete, Number
from potstill_sdk.options import as_keywords
from wit_world.imports import log, types

_COMPONENT, _SDK = (file.rpartition("/")[0] for file in (__file__, potstill_sdk.__file__))


def _place(traceback):
    """The innermost line of the author's. By hand: the module `traceback` reads the source, and there are no files."""
    place = ""
    while traceback:
        folder, _, file = traceback.tb_frame.f_code.co_filename.rpartition("/")
        if folder not in (_COMPONENT, _SDK):
            place = f" ({file}:{traceback.tb_lineno})"
        traceback = traceback.tb_next
    return place


def guarded(function):
    """An exception that is no answer ends the plugin, which carries no message: send it ahead."""

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
    """The author's object with these options."""
    try:
        return plugin(*arguments, **as_keywords(plugin, {s.name: s.value.value for s in settings}))
    except InvalidOptions as error:
        raise Err(str(error)) from None


def to_contract(space):
    """A space, for the contract."""
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
    """A space, as the contract has it."""
    if isinstance(space, types.Space_Box):
        return Box(space.value.shape, space.value.low, space.value.high)
    if isinstance(space, types.Space_Discrete):
        return Discrete(space.value)
    if isinstance(space, types.Space_MultiDiscrete):
        return MultiDiscrete(space.value)
    return Image(space.value)


def value_of(kind, value):
    """An option's value, for the contract."""
    if isinstance(kind, Integer):
        return types.OptionValue_Integer(value)
    if isinstance(kind, Number):
        return types.OptionValue_Number(value)
    if isinstance(kind, Boolean):
        return types.OptionValue_Boolean(value)
    return types.OptionValue_Text(value)


def kind_of(kind):
    """An option's type and limits, for the contract."""
    if isinstance(kind, Integer):
        return types.OptionKind_Integer(types.IntegerRange(kind.min, kind.max))
    if isinstance(kind, Number):
        return types.OptionKind_Number(types.NumberRange(kind.min, kind.max))
    if isinstance(kind, Boolean):
        return types.OptionKind_Boolean()
    return types.OptionKind_Text(list(kind.choices))
