"""A component's declarations with its options put in: dtypes, shapes and sizes as plain records."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from dolphin_mp.component import Component
from dolphin_mp.faults import Faults, one_line, place_of_exception
from dolphin_mp.plan import OutputPlan

if TYPE_CHECKING:
    import numpy as np

MAX_ATTRIBUTE = 64  # chosen: with the system's and component's it is part of a file name (at most 255)


UNKNOWN = object()  # in place of options that could not be made; their own fault is told


class UnknownRecord(Exception):  # noqa: N818 - an outcome
    """What a declaration gives depends on options that could not be made."""


class DeclarationFault(Exception):  # noqa: N818 - a line for the list of faults
    """Why a declaration gives no channel."""


@dataclass(frozen=True, slots=True)
class CheckedOutput:
    """One output: its plan, and the dtype for comparison with its readers'."""

    plan: OutputPlan
    dtype: np.dtype[Any]


def check_outputs(
    component_class: type[Component], name: str, options: Any, faults: Faults
) -> dict[str, CheckedOutput | None]:
    """Give the outputs by channel name; None stands for one that is declared but faulty."""
    checked: dict[str, CheckedOutput | None] = {}
    for attribute, declared in component_class.outputs().items():
        channel = f"{name}.{attribute}"
        checked[channel] = None
        try:
            check_attribute(attribute)
            dtype, shape = resolve_record(declared.dtype, declared.shape, options)
            checked[channel] = _output(attribute, channel, dtype, shape, declared.keep)
        except DeclarationFault as fault:
            faults.add(channel, str(fault))
        except UnknownRecord:
            pass
    return checked


def check_attribute(attribute: str) -> None:
    """Raise DeclarationFault for a name that an input or output can't have."""
    if hasattr(Component, attribute) or attribute in {"run", "Options"}:
        raise DeclarationFault(f'"{attribute}" is a name that Component uses itself: choose another')
    if len(attribute) > MAX_ATTRIBUTE:
        raise DeclarationFault(f"its name has {len(attribute)} characters: at most {MAX_ATTRIBUTE}")


def resolve_record(dtype: Any, shape: Any, options: Any) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Give a record's dtype and shape; those of a subarray dtype go into the shape, as numpy does it.

    Raises:
        DeclarationFault: they describe no record.
        UnknownRecord: they are functions of options that are not known.
    """
    import numpy as np

    given = _called(dtype, options, "dtype")
    try:
        real = np.dtype(given)
    except Exception as error:  # noqa: BLE001 - numpy raises many types, a user's __dtype__ more
        raise DeclarationFault(f"its dtype {_short(given)} is no numpy dtype ({one_line(error)})") from None
    if given is None:
        raise DeclarationFault("its dtype is None: write one, such as np.dtype([('bid', 'f8')])")
    inner = () if real.subdtype is None else real.shape
    return real.base, (*_shape(_called(shape, options, "shape")), *inner)


def _output(
    attribute: str, channel: str, dtype: np.dtype[Any], shape: tuple[int, ...], keep: Any
) -> CheckedOutput:
    from dolphin_mp.ipc.layout import describe_dtype

    try:
        description = describe_dtype(dtype)
    except (TypeError, ValueError) as error:
        raise DeclarationFault(str(error)) from None
    if isinstance(keep, bool) or not isinstance(keep, int) or keep < 1:
        raise DeclarationFault(f"keep is {keep!r}: it is how many records stay readable, 1 or more")
    plan = OutputPlan(attribute, channel, description, shape, keep, dtype.itemsize * prod(shape))
    return CheckedOutput(plan, dtype)


def _called(value: Any, options: Any, what: str) -> Any:
    """Give a declared value, or what it gives for the options when it is a function of them."""
    if isinstance(value, type) or not callable(value):  # a type such as float is callable and a dtype
        return value
    if options is UNKNOWN:
        raise UnknownRecord
    try:
        return value(options)
    except Exception as error:  # noqa: BLE001 - the user's function may raise anything
        where = place_of_exception(error, skip=(__file__,))
        raise DeclarationFault(
            f"its {what} as a function of the options fails with {one_line(error)}{where}"
        ) from None


def _shape(value: Any) -> tuple[int, ...]:
    try:
        sizes = (
            tuple(map(operator.index, value)) if isinstance(value, tuple | list) else (operator.index(value),)
        )
    except TypeError:
        raise DeclarationFault(f"its shape {_short(value)} is no whole number and no tuple of them") from None
    if any(size < 1 for size in sizes):
        raise DeclarationFault(f"its shape {sizes} holds nothing: each size is 1 or more")
    return sizes


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
