"""A component's inputs, attached: single channels, whole pools' channels, and what is dealt to it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from dolphin_mp.ipc import Channel, ChannelError, Channels, Deal
from dolphin_mp.paths import deal_name, segment_name
from dolphin_mp.process.required import Required

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dolphin_mp.ipc._core import Doorbell, Ring
    from dolphin_mp.plan import ComponentPlan, InputPlan


class Inputs:
    """All inputs of one component.

    Attributes: values (by attribute, what the component sees); required (channels); deal (of the input with
    share=True, or None).
    """

    def __init__(self, plan: ComponentPlan) -> None:
        self._plan = plan
        self._opened: dict[str, Channel] = {}
        self._by_attribute: dict[str, dict[str, Channel]] = {}
        self.values: dict[str, Any] = {}
        self.required: list[Channel] = []
        self.deal: Deal | None = None

    def prepare(self, system: str) -> None:
        """Open what is there already; what is not will be told of when it is needed."""
        for item in self._plan.inputs:
            with contextlib.suppress(ChannelError):
                self._opened[item.channel] = Channel.attach(segment_name(system, item.channel))

    def attach(self, system: str, bell: Doorbell, counts: memoryview) -> None:
        """Open them all; raises ChannelError.

        Args:
            system: its name.
            bell: ends every wait.
            counts: three words to count what is dealt into.
        """
        for item in self._plan.inputs:
            channel = self._opened.pop(item.channel, None) or Channel.attach(
                segment_name(system, item.channel)
            )
            self._by_attribute.setdefault(item.attribute, {})[item.channel.partition(".")[0]] = channel
            channel.stale_after_ns = int((item.stale_after_s or 0) * 1e9)
            channel._set_doorbell(bell)
            if item.required:
                self.required.append(channel)
            self.values[item.attribute] = channel
            if item.share:
                self.deal = self.values[item.attribute] = self._open_deal(system, item, channel)
                self.deal.counts = counts
                self.deal.join()
            elif item.many:
                self.values[item.attribute] = Channels(self._by_attribute[item.attribute])

    def _open_deal(self, system: str, item: InputPlan, channel: Channel) -> Deal:
        return Deal.open(deal_name(system, self._plan.pool or self._plan.name, item.attribute), channel)

    def take(self) -> bool:
        """Have a record dealt to this component; tells whether there was one."""
        return self.deal is not None and self.deal.take() is not None

    def done(self) -> None:
        """Say that what was dealt for a step is handled."""
        if self.deal is not None:
            self.deal.done()

    def watch(self) -> None:
        """Watch over another instance before a sleep, so that its death ends one."""
        if self.deal is not None:
            self.deal.watch()

    def close(self) -> None:
        """Let go of all; what was dealt and not done goes to another instance."""
        if self.deal is not None:
            with contextlib.suppress(ChannelError):
                self.deal.close()
        for channels in self._by_attribute.values():
            for channel in channels.values():
                with contextlib.suppress(ChannelError):
                    channel.close()

    def triggers(self, attributes: Iterable[str]) -> list[Channel]:
        """Give the channels whose new records a component steps on, but for the dealt one's."""
        plain = [name for name in attributes if self.values[name] is not self.deal]
        return [channel for name in plain for channel in self._by_attribute[name].values()]

    def required_of(self, triggers: Sequence[Channel]) -> Required:
        """Give the required inputs of a component that steps on these channels' records."""
        return Required(self.required, triggers, self.deal.channel if self.deal is not None else None)

    def awaited(self, plain: Sequence[Channel], dealt: Sequence[Ring]) -> list[Ring]:
        """Give the required inputs that a component does not step on; without them nothing is dealt."""
        return [item for item in self.required if dealt and item not in plain and item not in dealt]

    def dealt_triggers(self, attributes: Iterable[str]) -> list[Ring]:
        """Give what to wait on for a record to be dealt, if the component steps on such."""
        if self.deal is None or not any(self.values[name] is self.deal for name in attributes):
            return []
        return [self.deal.channel, self.deal.ring]
