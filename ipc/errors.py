"""Every error that the shared plane raises on purpose; each says what happened and what to do."""

from __future__ import annotations


class ChannelError(Exception):
    """The base of all errors of channels, segments and the board."""


class SegmentMissingError(ChannelError, FileNotFoundError):
    """No segment has that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no segment {name!r} in /dev/shm: is the system that makes it running?")
        self.name = name


class SegmentExistsError(ChannelError, FileExistsError):
    """A living owner holds a segment of that name."""

    def __init__(self, name: str, holder: str) -> None:
        super().__init__(f"segment {name!r} belongs to {holder}: attach to it, or choose another name")
        self.name = name


class SegmentInvalidError(ChannelError, ValueError):
    """The file of that name is not a whole segment of ours, or not of this user."""

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(f"/dev/shm/{name} can't be used: {fault}")
        self.name = name
        self.fault = fault


class SegmentFullError(ChannelError, MemoryError):
    """The kernel has no room for a segment of that size."""

    def __init__(self, name: str, nbytes: int, free: int) -> None:
        super().__init__(
            f"no room in /dev/shm for {name!r}: {nbytes / 2**20:.1f} MiB needed, {free / 2**20:.1f} MiB "
            "free; lower keep or the shape, or enlarge /dev/shm"
        )
        self.name = name
        self.nbytes = nbytes


class ClaimedError(ChannelError):
    """Another living handle is the writer, or holds the row."""

    def __init__(self, name: str, holder: str) -> None:
        super().__init__(f"{name!r} is claimed by {holder}: one writer at a time")
        self.name = name
        self.holder = holder


class SupersededError(ChannelError):
    """Whoever told this process to be a component is not the system's parent any more."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} has another parent by now: this process comes too late")


class NotClaimedError(ChannelError):
    """This handle is no writer."""

    def __init__(self, name: str) -> None:
        super().__init__(f"this handle doesn't write {name!r}: call claim() first")


class FencedError(ChannelError):
    """This handle was the writer and is not any more: what it says now would come too late."""

    def __init__(self, name: str, own: int, now: int) -> None:
        fault = "was released" if own == now else f"is lost: epoch {now} writes it, this handle's was {own}"
        super().__init__(f"the claim on {name!r} {fault}")
        self.own_epoch = own
        self.epoch = now


class OverrunError(ChannelError):
    """The writer overwrote the record each time while it was being read."""

    def __init__(self, name: str, tries: int) -> None:
        super().__init__(f"{name!r} is written faster than it can be read ({tries} tries): raise its keep")


class ReplacedError(ChannelError):
    """The channel that this handle reads was replaced by another of its name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} was given up or replaced by a new segment: attach again")


class ClosedError(ChannelError, ValueError):
    """The handle was closed."""

    def __init__(self, name: str) -> None:
        super().__init__(f"this handle of {name!r} is closed")


class ForkedError(ChannelError):
    """The handle was made before a fork, and this is the child: it holds nothing."""

    def __init__(self, name: str) -> None:
        super().__init__(f"this handle of {name!r} was made before a fork: attach again in the child")


class BusyError(ChannelError):
    """Two threads used one handle at once, or one that is in the midst of `writing`."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"{name!r}: {what}")


class MismatchError(ChannelError, TypeError):
    """The array's dtype or shape is not the channel's."""

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(f"{name!r}: {fault}")


class NoRecordError(ChannelError):
    """Nothing was published yet."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} has no record yet: wait(0) first")
