"""What this machine must have, should have, and has: one finding a check. It changes nothing."""

from __future__ import annotations

import os
import pwd
import re
import resource
import shutil
import stat
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dolphin_mp.faults import one_line
from dolphin_mp.ipc import _core, lock
from dolphin_mp.ipc.folder import FOLDER, NAMESPACE
from dolphin_mp.paths import MAX_SOCKET_PATH, FolderError, base_folder, check_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OK, WARN, FAIL = "ok", "warn", "fail"
MIB = 1 << 20
_ENOUGH_SHM, _ENOUGH_FILES, _ENOUGH_TASKS, _ENOUGH_MEMORY = 256 * MIB, 1024, 512, 512 * MIB
_LONGEST_NAME = 31  # of a system, of which the folder's path must have room for
_GOOD_CLOCKS = {"tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"}


class Finding(NamedTuple):
    """What a check found: its result, what is so, and what to do about it (empty if nothing)."""

    result: str
    text: str
    advice: str = ""


def examine() -> Iterator[tuple[str, Finding]]:
    """Make all checks; gives each one's name and finding."""
    for name, check in CHECKS.items():
        try:
            yield name, check()
        except (OSError, ValueError, LookupError) as error:  # a machine may lack what a check looks at
            yield name, Finding(WARN, f"can't be checked: {one_line(error)}")


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    text = f"{sys.implementation.name} {version}, {sys.executable}"
    if sys.version_info < (3, 11) or sys.implementation.name != "cpython":
        return Finding(FAIL, text, "use CPython 3.11 or newer")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return Finding(FAIL, f"{text}, built without a global lock", "use an ordinary build of CPython")
    return Finding(OK, text)


def _compiler() -> Finding:
    """Only needed to install from the source again, thus never a failure."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    headers = Path(sysconfig.get_path("include"), "Python.h")
    missing = [
        what
        for what, there in ((compiler, shutil.which(compiler)), (str(headers), headers.is_file()))
        if not there
    ]
    if missing:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        advice = f"to install from the source: apt-get install gcc libc6-dev python{version}-dev"
        return Finding(WARN, f"missing: {', '.join(missing)}", advice)
    return Finding(OK, f"{shutil.which(compiler)} and {headers.parent}")


def _kernel() -> Finding:
    release = os.uname().release
    lacking = []
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        lacking.append("pidfd_open (Linux 5.3)")
    try:
        os.close(os.memfd_create("dolphin-mp"))
    except OSError:
        lacking.append("memfd_create")
    if lacking:
        return Finding(
            FAIL, f"Linux {release} lacks {', '.join(lacking)}", "use a newer kernel, or allow these calls"
        )
    if not _core.waits_on_many():
        text = f"Linux {release} lacks futex_waitv (5.16), or a filter forbids it"
        return Finding(
            WARN, text, "waits on several channels at once look each millisecond: use a newer kernel"
        )
    return Finding(OK, f"Linux {release} with pidfd, memfd, futex_waitv")


def _shared_memory() -> Finding:
    """Nameless files and their locks in /dev/shm, as segments need them."""
    try:
        fd = os.open(FOLDER, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        return Finding(
            FAIL,
            f"no nameless file in {FOLDER}: {error.strerror}",
            f"mount a tmpfs that you can write on {FOLDER}",
        )
    try:
        if not lock.try_lock(fd, 0) or lock.is_locked(fd, 0):
            return Finding(FAIL, f"no kernel locks in {FOLDER}", f"mount a tmpfs on {FOLDER}")
    finally:
        os.close(fd)
    kind = _file_system(FOLDER)
    if kind not in {"tmpfs", "ramfs"}:
        return Finding(WARN, f"{FOLDER} is {kind}", "mount a tmpfs on it, or records go to a disk")
    return Finding(OK, f"{FOLDER} is {kind}, with locks and nameless files")


def _shared_memory_size() -> Finding:
    found = os.statvfs(FOLDER)
    size, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
    text = f"{free // MIB} of {size // MIB} MiB free in {FOLDER}"
    if free < _ENOUGH_SHM:
        return Finding(
            WARN,
            text,
            "large channels need more: mount -o remount,size=1G /dev/shm (docker run --shm-size=1g)",
        )
    return Finding(OK, text)


def _open_files() -> Finding:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"at most {_limit(hard)} open files"
    if hard != resource.RLIM_INFINITY and hard < _ENOUGH_FILES:
        return Finding(
            WARN, text, f"a hundred components need more: ulimit -Hn {_ENOUGH_FILES}, or LimitNOFILE="
        )
    return Finding(OK, text)


def _processes() -> Finding:
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    limits = [hard] if hard != resource.RLIM_INFINITY else []
    limits += [int(text) for text in _cgroup_values("pids.max") if text != "max"]
    least = min(limits, default=-1)
    text = f"at most {_limit(least)} processes and threads"
    if 0 <= least < _ENOUGH_TASKS:
        return Finding(WARN, text, "a hundred components need more: ulimit -u, TasksMax= or --pids-limit")
    return Finding(OK, text)


def _memory() -> Finding:
    limits = [int(text) for text in _cgroup_values("memory.max") if text != "max"]
    if not limits:
        return Finding(OK, "no limit but the machine's")
    least = min(limits)
    if least < _ENOUGH_MEMORY:
        advice = (
            "segments count against it as well, and past it the kernel kills: raise MemoryMax= or --memory"
        )
        return Finding(WARN, f"this control group has {least // MIB} MiB", advice)
    return Finding(OK, f"this control group has {least // MIB} MiB")


def _clock() -> Finding:
    path = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    name = path.read_text().strip() if path.exists() else "unknown"
    if _core.boottime_ns() <= 0:
        return Finding(FAIL, "no CLOCK_BOOTTIME", "use Linux 2.6.39 or newer")
    if name in {"hpet", "acpi_pm", "jiffies", "refined-jiffies"}:
        return Finding(
            WARN,
            f"clock source {name} makes each publish slower by a microsecond",
            "boot with tsc=reliable, if it is",
        )
    return Finding(OK, f"clock source {name}" + ("" if name in _GOOD_CLOCKS else ", CLOCK_BOOTTIME is there"))


def _logout() -> Finding:
    """Whether systemd-logind removes the segments of a user who logs out (logind.conf(5), RemoveIPC=)."""
    uid = os.geteuid()
    user = pwd.getpwuid(uid).pw_name
    if not Path("/run/systemd/seats").is_dir():
        return Finding(OK, "systemd-logind does not run here")
    if uid < 1000:
        return Finding(OK, f"{user} is a system user: logging out removes nothing")
    if Path("/var/lib/systemd/linger", user).exists():
        return Finding(OK, f"{user} lingers: logging out removes nothing")
    if _removes_ipc():
        advice = f"loginctl enable-linger {user}, or RemoveIPC=no in /etc/systemd/logind.conf"
        return Finding(
            WARN, f"when {user} logs out, systemd-logind removes the segments and {base_folder()}", advice
        )
    return Finding(OK, "RemoveIPC=no")


def _removes_ipc() -> bool:
    """Give logind's setting; the last file that sets it wins, its default is yes."""
    folders = [Path(top, "systemd") for top in ("/usr/lib", "/usr/local/lib", "/run", "/etc")]
    files = [folder / "logind.conf" for folder in folders]
    files += sorted(
        (file for folder in folders for file in folder.glob("logind.conf.d/*.conf")), key=lambda f: f.name
    )
    value = "yes"
    for file in files:
        if file.is_file():
            value = (
                re.findall(r"(?mi)^\s*RemoveIPC\s*=\s*(\w+)", file.read_text(errors="replace")) or [value]
            )[-1]
    return value.lower() in {"yes", "true", "on", "1"}


def _runtime_folder() -> Finding:
    folder = base_folder()
    longest = f"{folder}/{'x' * _LONGEST_NAME}/control"
    if len(longest) > MAX_SOCKET_PATH:
        room = MAX_SOCKET_PATH - len(f"{folder}//control")
        text = f"{folder} leaves {max(0, room)} letters for a system's name"
        return Finding(
            FAIL if room < 1 else WARN, text, "set XDG_RUNTIME_DIR to a shorter folder of your own"
        )
    if os.path.lexists(folder):
        try:
            check_private(folder)
        except FolderError as error:
            return Finding(FAIL, str(error))
    else:
        above = Path(folder).parent
        if not os.access(above, os.W_OK | os.X_OK):
            return Finding(FAIL, f"{above} can't be written", "set XDG_RUNTIME_DIR to a folder of your own")
    return Finding(OK, f"{folder} is private")


def _leftovers() -> Finding:
    from dolphin_mp.remains import dead_systems, system_of

    dead = dead_systems()
    if dead:
        mib = sum(found.nbytes for found in dead.values()) / MIB
        return Finding(WARN, f"{', '.join(map(system_of, dead))} left {mib:.1f} MiB", "dolphin-mp clean")
    return Finding(OK, "no crashed system has left anything")


def _foreign_files() -> Finding:
    """Files of our names that others could change, or that are not this user's, are never used."""
    bad = []
    for entry in os.scandir(FOLDER):
        if entry.name.startswith(f"{NAMESPACE}{os.geteuid()}-"):
            found = entry.stat(follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
                bad.append(entry.name)
    if bad:
        return Finding(
            FAIL,
            f"not private in {FOLDER}: {', '.join(sorted(bad)[:3])}",
            "find out who made them; remove them",
        )
    return Finding(OK, f"all of ours in {FOLDER} are private")


def _limit(number: int) -> str:
    return "any number of" if number < 0 else f"{number:,}"


def _file_system(folder: str) -> str:
    """Give the type of the file system that is mounted on a folder, or holds it."""
    best, kind = "", "unknown"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, its_kind, *_ = line.split()
        if (folder == place or folder.startswith(place.rstrip("/") + "/")) and len(place) >= len(best):
            best, kind = place, its_kind
    return kind


def _cgroup_values(name: str) -> list[str]:
    """Give a setting of this process' control group and of all above it (cgroups(7), version 2)."""
    own = Path("/proc/self/cgroup").read_text().rpartition("0::/")[2].strip()
    group = Path("/sys/fs/cgroup", own)
    files = [folder / name for folder in (group, *group.parents) if folder.is_relative_to("/sys/fs/cgroup")]
    return [file.read_text().strip() for file in files if file.is_file()]


CHECKS: dict[str, Callable[[], Finding]] = {
    "python": _python,
    "compiler": _compiler,
    "kernel": _kernel,
    "shared memory": _shared_memory,
    "its size": _shared_memory_size,
    "its files": _foreign_files,
    "open files": _open_files,
    "processes": _processes,
    "memory": _memory,
    "clock": _clock,
    "logout": _logout,
    "runtime folder": _runtime_folder,
    "leftovers": _leftovers,
}
