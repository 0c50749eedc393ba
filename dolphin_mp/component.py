"""What a component's author writes: a class with inputs and outputs, and what it can use at run time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Literal

    from numpy.typing import DTypeLike
    from typing_extensions import TypeVar as TypeVarWithDefault

    from dolphin_mp.ipc import Channel, Deal

    # What an instance sees: a Channel, with share=True a Deal; of a whole pool say Input[Channels].
    Handle = TypeVarWithDefault("Handle", default=Channel)
else:
    Handle = TypeVar("Handle")


class Done(Exception):  # noqa: N818 - an outcome, no error, and the contract's name
    """Raised by a component that has finished its work: it ends for good, whatever its restart policy."""


class Output:
    """A channel that the component writes.

    Args:
        dtype: anything that `numpy.dtype` takes, or a function of the options that gives it.
        shape: of one record: an int, a tuple of ints, or a function of the options that gives one of them.
        keep: how many records are readable at any instant.

    On an instance the attribute is the claimed `Channel`.
    """

    def __init__(
        self,
        dtype: DTypeLike | Callable[[Any], DTypeLike],
        shape: int | tuple[int, ...] | Callable[[Any], int | tuple[int, ...]] = (),
        keep: int = 8,
    ) -> None:
        self.dtype = dtype
        self.shape = shape
        self.keep = keep
        self.attribute = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute = name

    @overload
    def __get__(self, instance: None, owner: type) -> Output: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Channel: ...
    def __get__(self, instance: object | None, owner: type) -> Output | Channel:
        if instance is None:
            return self
        raise _not_connected(owner, "output", self.attribute)


class Input(Generic[Handle]):
    """A channel that the component reads.

    Args:
        channel: ``component.output``, or ``pool@*.output`` for all instances of a pool; the configuration's
            ``inputs`` table can name another.
        dtype: what the author expects (optional, as for `Output`): another one of the producer is an error
            at launch.
        shape: likewise; None accepts any.
        stale_after: a duration such as "3s"; without it no record is called stale.
        required: while the input is stale or, with a `stale_after`, nobody writes it, `Component.on_stale` is
            called instead of `Component.step`.
        share: deal each record to exactly one instance of a pool.

    On an instance the attribute is the attached `Channel`; with ``share`` a `dolphin_mp.ipc.Deal`, of a whole
    pool a `dolphin_mp.ipc.Channels` (for a type checker: ``parts: Input[Channels]``).
    """

    @overload
    def __init__(
        self,
        channel: str,
        dtype: DTypeLike | Callable[[Any], DTypeLike] | None = None,
        shape: int | tuple[int, ...] | Callable[[Any], int | tuple[int, ...]] | None = None,
        *,
        stale_after: str | None = None,
        required: bool = False,
        share: Literal[False] = False,
    ) -> None: ...
    @overload
    def __init__(
        self: Input[Deal],
        channel: str,
        dtype: DTypeLike | Callable[[Any], DTypeLike] | None = None,
        shape: int | tuple[int, ...] | Callable[[Any], int | tuple[int, ...]] | None = None,
        *,
        stale_after: str | None = None,
        required: bool = False,
        share: Literal[True],
    ) -> None: ...
    def __init__(
        self,
        channel: str,
        dtype: DTypeLike | Callable[[Any], DTypeLike] | None = None,
        shape: int | tuple[int, ...] | Callable[[Any], int | tuple[int, ...]] | None = None,
        *,
        stale_after: str | None = None,
        required: bool = False,
        share: bool = False,
    ) -> None:
        self.channel = channel
        self.dtype = dtype
        self.shape = shape
        self.stale_after = stale_after
        self.required = required
        self.share = share
        self.attribute = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute = name

    @overload
    def __get__(self, instance: None, owner: type) -> Input[Handle]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Handle: ...
    def __get__(self, instance: object | None, owner: type) -> Input[Handle] | Handle:
        if instance is None:
            return self
        raise _not_connected(owner, "input", self.attribute)


class Host(Protocol):
    """What a component asks of whatever runs it."""

    @property
    def stopping(self) -> bool:
        """Whether the component was asked to stop."""

    def beat(self) -> None:
        """Count as a step: the component lives."""


class _NoHost:
    stopping = False

    def beat(self) -> None:
        """Nobody listens."""


class Component:
    """The base of a user's component: declare inputs and outputs, write `step` or ``async def run(self)``.

    `name`, `options`, `log`, `beat` and the channels work from ``__init__`` on; `every_s` is the period that
    holds after the configuration, in seconds; `key` is what tells an instance of a pool from the others: "0",
    "1", … or one of its ``for_each``. When it steps is said by `every` (a duration), `on` (names of inputs)
    and `schedule` (cron, or a table); with none of them it steps on each new record of any input, or, where
    one has ``share=True``, on each that is dealt to it. Options are a nested dataclass named ``Options``.
    """

    every: ClassVar[str | None] = None
    on: ClassVar[Sequence[str] | None] = None
    schedule: ClassVar[str | Mapping[str, Any] | None] = None

    name: str = ""
    key: str = ""
    options: Any = None
    every_s: float | None = None
    log: logging.Logger = logging.getLogger("dolphin_mp.component")
    _host: Host = _NoHost()

    @classmethod
    def inputs(cls) -> dict[str, Input]:
        """Give the declared inputs by attribute, base classes' first."""
        return _declared(cls, Input)

    @classmethod
    def outputs(cls) -> dict[str, Output]:
        """Give the declared outputs by attribute, base classes' first."""
        return _declared(cls, Output)

    @property
    def stopping(self) -> bool:
        """Whether this component was asked to stop: a long step or `run` should then return."""
        return self._host.stopping

    def beat(self) -> None:
        """Say that the component lives, in the midst of a long step or in `run`."""
        self._host.beat()

    def setup(self) -> None:
        """Prepare; when it returns the component is ready."""

    def step(self) -> None:
        """Do one round of work."""
        raise NotImplementedError(f"{type(self).__name__} defines neither step() nor async run()")

    def on_stale(self) -> None:
        """Called instead of `step` while a required input is stale, has no record or has lost its producer.

        Called at once when that comes about, and then at each beat of `every` and each wake by another input.
        A producer's death or stop counts where the input has a ``stale_after``; one that is back before this
        component has woken may go unnoticed but for the epoch of the next record.
        """

    def close(self) -> None:
        """Tidy up; called once when the component stops, not when it is killed."""


AnyComponent = TypeVar("AnyComponent", bound=Component)


def create_component(
    component_class: type[AnyComponent],
    *,
    name: str,
    options: Any = None,
    every_s: float | None = None,
    channels: Mapping[str, Any] | None = None,
    log: logging.Logger | None = None,
    host: Host | None = None,
) -> AnyComponent:
    """Make a connected instance: what it may use is set before its ``__init__()`` runs, without arguments.

    Args:
        component_class: the user's class.
        name: of the component in its system.
        options: an instance of its ``Options``, or None.
        every_s: the period it steps in, or None.
        channels: by attribute, what its inputs and outputs are to be.
        log: its logger; one named after the component when None.
        host: what hears its beats and knows of a stop; nobody when None.
    """
    component = component_class.__new__(component_class)
    component.name = name
    component.key = name.partition("@")[2]
    component.options = options
    component.every_s = every_s
    component.log = log or logging.getLogger(f"dolphin_mp.component.{name}")
    if host is not None:
        component._host = host
    for attribute, channel in (channels or {}).items():
        setattr(component, attribute, channel)
    component.__init__()  # type: ignore[misc]
    return component


Declaration = TypeVar("Declaration", Input, Output)


def _declared(cls: type, kind: type[Declaration]) -> dict[str, Declaration]:
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        for attribute, value in vars(base).items():
            if isinstance(value, kind):
                found[attribute] = value
            else:  # a subclass that sets the attribute to something else takes the declaration back
                found.pop(attribute, None)
    return found


def _not_connected(owner: type, what: str, attribute: str) -> AttributeError:
    return AttributeError(
        f"{what} {owner.__name__}.{attribute} is not connected: it is a channel only in a running component; "
        "in a test, step the component with dolphin_mp.testing"
    )
