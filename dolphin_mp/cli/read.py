"""`dolphin-mp read`: a channel's newest record, from shared memory, whatever its writer and the parent do."""

from __future__ import annotations

from dolphin_mp.cli.errors import DONE, NO_SUCH, WRONG_USE, CommandError
from dolphin_mp.cli.show import age, print_json, say
from dolphin_mp.cli.systems import add_system_argument, find_board
from dolphin_mp.ipc._core import boottime_ns
from dolphin_mp.ipc.errors import SegmentMissingError
from dolphin_mp.ipc.folder import segments
from dolphin_mp.ipc.raw import RawChannel
from dolphin_mp.paths import segment_name, segment_prefix
from dolphin_mp.values import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any


def add_arguments(_name: str, parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("channel", metavar="CHANNEL", help="component.output")
    parser.add_argument(
        "--stale-after", metavar="TIME", help='say whether the record is younger, such as "3s"'
    )
    parser.add_argument("--json", action="store_true", help="print data for programs")
    add_system_argument(parser)


def execute(arguments: Namespace) -> int:
    """Print the record."""
    stale_after_s = _seconds(arguments.stale_after)
    answer = _read(find_board(arguments.system).system, arguments.channel, stale_after_s)
    if arguments.json:
        print_json(answer)
    if answer["version"] == 0:
        say(f"{arguments.channel}: no record yet")
    elif not arguments.json:
        from dolphin_mp.cli.rendering import lines_of

        stale = "" if answer["fresh"] is not False else ", stale"
        say(f"{arguments.channel}: version {answer['version']}, {age(answer['age_s'])} old{stale}")
        for line in lines_of(answer["value"]):
            print(line)
    return DONE


def channels_of(system: str) -> list[str]:
    """Give the names of a system's channels."""
    prefix = segment_prefix(system)
    names = (name.removeprefix(prefix) for name in segments(prefix))
    return [name for name in names if name != "board" and not name.endswith(".deal")]


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    from dolphin_mp.duration import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise CommandError(f"--stale-after: {error}", WRONG_USE) from None


def _read(system: str, channel: str, stale_after_s: float | None) -> dict[str, Any]:
    with _attach(system, channel) as handle:
        record = handle.latest_raw()
        answer: dict[str, Any] = {
            "channel": channel,
            "dtype": handle.description,
            "shape": list(handle.extent),
            "version": 0,
            "epoch": handle.epoch,
            "age_s": None,
            "fresh": None if stale_after_s is None else False,
            "value": None,
        }
        if record is not None:
            age_s = round(max(0, boottime_ns() - record.written_ns) * 1e-9, 9)
            answer |= {
                "version": record.version,
                "epoch": record.epoch,
                "age_s": age_s,
                "fresh": None if stale_after_s is None else age_s <= stale_after_s,
                "value": decode(handle.description, handle.extent, record.data),
            }
    return answer


def _attach(system: str, channel: str) -> RawChannel:
    known = channels_of(system)
    try:
        if channel in known:
            return RawChannel.attach(segment_name(system, channel))
    except SegmentMissingError:  # it went away meanwhile
        known.remove(channel)
    from dolphin_mp.faults import suggest

    raise CommandError(f'{system} has no channel "{channel}"{suggest(channel, known, "there are")}', NO_SUCH)
