"""All commands: their group, the module that has them, and one line of help each."""

from __future__ import annotations

# name: (group, module under dolphin_mp.cli, help)
COMMANDS = {
    "launch": ("Run a system", "launching", "start a system and stay with it until it ends"),
    "run": ("Run a system", "launching", "run one component alone, as its own service"),
    "check": ("Run a system", "checking", "check a configuration without starting anything"),
    "init": ("Run a system", "init", "write a configuration, two components and their test to begin with"),
    "status": ("See what it does", "status", "show what each component does"),
    "logs": ("See what it does", "logs", "show what components said; -f goes on with what they say"),
    "read": ("See what it does", "read", "show a channel's latest record"),
    "crashes": ("See what it does", "crashes", "show the crashes there were, and all that is known of one"),
    "start": ("Steer it", "steering", "start a component that was stopped, has failed or is done"),
    "stop": ("Steer it", "steering", "stop a component, and let it stay down"),
    "restart": ("Steer it", "steering", "give a component a fresh process"),
    "reload": ("Steer it", "reload", "have the system become what its configuration says now"),
    "scale": ("Steer it", "scaling", "have a pool of another number of instances"),
    "shutdown": ("Steer it", "shutdown", "stop the whole system, in order"),
    "doctor": ("Look after the machine", "doctor", "check whether this machine has what is needed"),
    "clean": ("Look after the machine", "clean", "remove what a crash left in memory and on disk"),
    "bench": ("Look after the machine", "bench", "measure this machine, as ratios"),
}


def overview() -> str:
    """Give the help of the command as a whole."""
    lines = ["usage: dolphin-mp COMMAND [...]", ""]
    group = ""
    for name, (its_group, _, text) in COMMANDS.items():
        if its_group != group:
            group = its_group
            lines += ["", group + ":"] if lines[-1] else [group + ":"]
        lines.append(f"  {name:<10} {text}")
    lines += [
        "",
        "`dolphin-mp COMMAND --help` says more. --system NAME picks one of several running systems,",
        "--json gives data to programs, --version tells the version. Exit codes: 0 done, 1 failed,",
        "2 wrong use or bad configuration, 3 not running, 4 no such component or channel.",
    ]
    return "\n".join(lines)
