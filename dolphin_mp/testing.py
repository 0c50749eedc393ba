"""Step a component on given records, without a process: for its author's tests.

    with stepping(Edge, inputs={"quote": Quotes.quote}) as edge:
        edge.give("quote", bid=1.0, ask=2.0)
        edge.step()
        assert edge.latest("edge").value["value"] == 1.0

The channels are real ones of names that no other has; leaving the block removes them.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import os
from typing import TYPE_CHECKING, Any, Generic, Self

from dolphin_mp.component import AnyComponent, Input, Output, create_component
from dolphin_mp.duration import parse_duration
from dolphin_mp.ipc import Channel, Channels, Deal
from dolphin_mp.ipc.segment import sweep

if TYPE_CHECKING:
    import logging
    from collections.abc import Mapping
    from types import TracebackType

    from dolphin_mp.ipc import Record

_numbers = itertools.count()
_STALE_AT_ONCE_NS = 1


def stepping(
    component_class: type[AnyComponent],
    options: Any = None,
    *,
    inputs: Mapping[str, Any] | None = None,
    name: str = "",
    instances: int = 2,
) -> Stepping[AnyComponent]:
    """Give what steps one component; to be used in a ``with``.

    Args:
        component_class: the component.
        options: an instance of its ``Options``, a table of them, or None for their defaults.
        inputs: for inputs that declare no dtype, by attribute: the producer's output (``Quotes.quote``), a
            dtype, or a pair of dtype and shape. An input left out takes the form of the first record given.
        name: of the component; its class's in lower case if empty. "mc@3" is an instance of key "3".
        instances: how many those pools have that it reads as a whole (``mc@*.part``).
    """
    return Stepping(component_class, _options(component_class, options), dict(inputs or {}), name, instances)


class Stepping(Generic[AnyComponent]):
    """One component under test; see `stepping`.

    Its ``setup()`` runs when the block is entered, or, while the form of an input is unknown, before the
    first step.
    """

    def __init__(
        self,
        component_class: type[AnyComponent],
        options: Any,
        forms: dict[str, Any],
        name: str,
        instances: int,
    ) -> None:
        self._class = component_class
        self._options = options
        self._name = name or component_class.__name__.lower()
        self._declared = component_class.inputs()
        unknown = set(forms) - set(self._declared)
        if unknown:
            raise TypeError(f"{component_class.__name__} has no input {', '.join(sorted(unknown))}")
        self._forms = forms
        self._prefix = f"dolphin-mp-test-{os.getpid()}-{next(_numbers)}.{self._name}"
        self._instances = instances
        self._givers: dict[str, dict[str, Channel]] = {}  # by input, then by component
        self._readers: dict[str, list[Channel]] = {}
        self._channels: dict[str, Any] = {}  # what the component sees
        self._stack = contextlib.ExitStack()
        self._component: AnyComponent | None = None
        self.asked_to_stop = False

    # the component's host -----------------------------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        """What the component sees as `stopping`; set `asked_to_stop` to have it so."""
        return self.asked_to_stop

    def beat(self) -> None:
        """Hear the component's beat."""

    # the block ----------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            for attribute, output in self._class.outputs().items():
                channel = self._make(attribute, output.dtype, output.shape, output.keep)
                self._channels[attribute] = channel
            for attribute, item in self._declared.items():
                form = self._forms.get(attribute, item if item.dtype is not None else None)
                if form is not None:
                    self._connect(attribute, *_dtype_and_shape(form))
            if self._declared.keys() <= self._channels.keys():
                self._set_up()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:  # the channels go even if the component's close() fails
            if self._component is not None:
                self._component.close()

    @property
    def component(self) -> AnyComponent:
        """The component itself."""
        if self._component is None:
            self._set_up()
        assert self._component is not None
        return self._component

    @property
    def log(self) -> logging.Logger:
        """The component's log."""
        return self.component.log

    def _set_up(self) -> None:
        missing = sorted(self._declared.keys() - self._channels.keys())
        if missing:
            first = missing[0]
            raise TypeError(
                f"nothing tells the dtype of input {first}: give it a record first, or say "
                f"stepping({self._class.__name__}, inputs={{{first!r}: PRODUCER.OUTPUT}})"
            )
        self._component = create_component(
            self._class,
            name=self._name,
            options=self._options,
            channels=self._channels,
            log=_logger(self._name),
            host=self,
        )
        self._component.setup()

    # channels -----------------------------------------------------------------------------------------------

    def _make(self, attribute: str, dtype: Any, shape: Any, keep: int) -> Channel:
        """Make a claimed channel that is closed with the block."""
        dtype, shape = (value(self._options) if _is_function(value) else value for value in (dtype, shape))
        channel = Channel.create(f"{self._prefix}.{attribute}", dtype, () if shape is None else shape, keep)
        self._stack.callback(channel.close)
        channel.claim()
        return channel

    def _connect(self, attribute: str, dtype: Any, shape: Any) -> None:
        item = self._declared[attribute]
        pool, star, _ = item.channel.partition("@*.")
        names = [f"{pool}@{n}" for n in range(self._instances)] if star else [""]
        givers = {name: self._make(f"{attribute}{name}", dtype, shape, 1024) for name in names}
        readers = {name: Channel.attach(giver.name) for name, giver in givers.items()}
        for reader in readers.values():
            self._stack.callback(reader.close)
        self._givers[attribute], self._readers[attribute] = givers, list(readers.values())
        self._channels[attribute] = Channels(readers) if star else readers[""]
        if item.share:
            self._stack.callback(sweep, self._deal_name(attribute))
            self._channels[attribute] = self._join(attribute)
        self._freshen(attribute)

    def _deal_name(self, attribute: str) -> str:
        return f"{self._prefix}.{attribute}.deal"

    def _join(self, attribute: str) -> Deal:
        deal = Deal.open(self._deal_name(attribute), self._readers[attribute][0])
        self._stack.callback(deal.close)
        deal.join()
        return deal

    def _freshen(self, attribute: str) -> None:
        stale_after = self._declared[attribute].stale_after
        for reader in self._readers[attribute]:
            reader.stale_after_ns = int(parse_duration(stale_after) * 1e9) if stale_after else 0

    def give(self, input_name: str | tuple[str, str], record: Any = None, /, **fields: Any) -> int:
        """Publish one record into an input, as `Channel.publish` takes it; gives its version.

        Into one that reads a whole pool by a pair: ``give(("parts", "mc@1"), ...)``.
        """
        input_name, instance = input_name if isinstance(input_name, tuple) else (input_name, "")
        if input_name not in self._declared:
            raise TypeError(
                f"{self._class.__name__} has no input {input_name!r}; it has {sorted(self._declared)}"
            )
        if input_name not in self._givers:
            self._connect(input_name, *_form_of(record, fields))
        self._freshen(input_name)
        givers = self._givers[input_name]
        if instance not in givers:
            places = ", ".join(repr((input_name, name)) if name else repr(input_name) for name in givers)
            raise TypeError(f"input {input_name} is given by {places}")
        giver = givers[instance]
        return int(giver.publish(**fields) if record is None else giver.publish(record))

    def expire(self, input_name: str) -> None:
        """Have an input's newest record be stale, until the next one is given."""
        if self._declared[input_name].stale_after is None:
            raise ValueError(
                f"input {input_name} of {self._class.__name__} has no stale_after: it is never stale"
            )
        for reader in self._readers.get(input_name, ()):
            reader.stale_after_ns = _STALE_AT_ONCE_NS

    def redeal(self, input_name: str) -> None:
        """Have the next record of an input with share=True be one that another instance died over."""
        other = self._join(input_name)
        other.take()
        other.close()

    def latest(self, channel: str) -> Record | None:
        """Give the newest record of an output (or input), None before the first."""
        handle = self._channels[channel]
        found: Record | None = (handle.channel if isinstance(handle, Deal) else handle).latest()
        return found

    def records(self, output: str) -> list[Record]:
        """Give all records of an output that are still there, the oldest first."""
        return list(self._channels[output].since(0).records)

    def step(self) -> bool:
        """Do one step, or, while a required input is stale or has no record, call `on_stale` (then False).

        A component that steps on dealt records has the next one dealt; without one it does nothing (False).
        """
        component = self.component
        if hasattr(component, "run"):
            raise TypeError(f"{self._class.__name__} has no steps but run(): await it in the test")
        if self._is_stale():
            component.on_stale()
            return False
        deals = [handle for handle in self._channels.values() if isinstance(handle, Deal)]
        if self._steps_on_dealt() and not any(deal.take() for deal in deals):
            return False
        component.step()
        for deal in deals:
            deal.done()
        return True

    def _steps_on_dealt(self) -> bool:
        kind = self._class
        if kind.every or kind.on or kind.schedule:
            return any(self._declared[name].share for name in kind.on or ())
        return any(item.share for item in self._declared.values())

    def _is_stale(self) -> bool:
        required = (name for name, item in self._declared.items() if item.required)
        records = (reader.latest() for name in required for reader in self._readers[name])
        return any(record is None or record.fresh is False for record in records)


def _options(component_class: type, given: Any) -> Any:
    kind = getattr(component_class, "Options", None)
    if kind is None or (given is not None and not isinstance(given, dict)):
        return given
    return kind(**(given or {}))


def _dtype_and_shape(form: Any) -> tuple[Any, Any]:
    """Give what a declaration, a pair or a dtype says."""
    if isinstance(form, (Input, Output)):
        return form.dtype, form.shape
    is_pair = isinstance(form, tuple) and len(form) == 2 and isinstance(form[1], (int, tuple))
    return form if is_pair else (form, ())


def _form_of(record: Any, fields: dict[str, Any]) -> tuple[Any, Any]:
    """Give the dtype and shape of a record that is the first of its input."""
    import numpy as np

    if record is not None:
        array = np.asarray(record)
        return array.dtype, array.shape
    arrays = {name: np.asarray(value) for name, value in fields.items()}
    return np.dtype([(name, array.dtype, array.shape) for name, array in arrays.items()]), ()


def _is_function(value: Any) -> bool:
    return inspect.isroutine(value)


def _logger(name: str) -> logging.Logger:
    import logging

    return logging.getLogger(name)
