"""`dolphin-mp scale`: another number of instances of a pool, while the system runs."""

from __future__ import annotations

from dolphin_mp.cli.errors import DONE
from dolphin_mp.cli.show import print_json, say
from dolphin_mp.cli.steering import LONGEST_S
from dolphin_mp.cli.systems import add_system_argument, find_board

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_arguments(_name: str, parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("pool", metavar="POOL", help="its name in the configuration")
    parser.add_argument("instances", metavar="N", type=int, help="how many it is to have")
    parser.add_argument("--no-wait", action="store_true", help="come back before they are there, or gone")
    parser.add_argument("--json", action="store_true", help="print data for programs")
    add_system_argument(parser)
    parser.epilog = "It lasts until the next reload or launch: what is to stay goes into the configuration."


def execute(arguments: Namespace) -> int:
    """Ask the parent."""
    from dolphin_mp.client import Client

    wait = not arguments.no_wait
    with Client(find_board(arguments.system).system) as client:
        result = client.request(
            "scale", LONGEST_S, pool=arguments.pool, instances=arguments.instances, wait=wait
        )
    if arguments.json:
        print_json(result)
    elif wait:
        states = ", ".join(f"{one['component']} {one['state']}" for one in result["instances"])
        say(f"{arguments.pool} has {len(result['instances'])} instances: {states}")
    else:
        say(f"{arguments.pool}: {arguments.instances} instances were asked for")
    return DONE
