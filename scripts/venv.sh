# Sourced by scripts/launch, scripts/test and .ci/run: makes .venv and installs into it, when that is needed.
# Callers use $root, $venv, say, find_python and ensure_venv; DOLPHIN_PYTHON names an interpreter to use.
# shellcheck shell=bash

root=$(cd -P -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." >/dev/null && pwd)
venv=$root/.venv

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# Runs under any Python, however old. Prints: the interpreter outside every venv, its version, its headers'
# folder, its C compiler, whether it can make a venv.
probe='
import sys
if sys.version_info[:2] < (3, 11):
    sys.exit("it is Python %d.%d" % sys.version_info[:2])
import os, sysconfig
from importlib.util import find_spec
if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit("it is not a CPython with a global lock")
print(os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable))
print("%d.%d" % sys.version_info[:2])
print(sysconfig.get_path("include"))
print((os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0])
print(all(find_spec(name) for name in ("venv", "ensurepip")))
'

candidates() {
    if [[ -n ${DOLPHIN_PYTHON:-} ]]; then
        printf '%s\n' "$DOLPHIN_PYTHON"
    else
        type -aP python3 python3.{20..11} || true
    fi
}

# Says, a line each, what the probed interpreter $1 ($2: version, $3: headers, $4: compiler, $5: venv) lacks.
lacks() {
    if [[ $5 != True ]]; then
        echo "$1 has no venv module (on Debian: apt-get install python$2-venv)"
    fi
    if [[ ! -f $3/Python.h ]]; then
        echo "$1 has no C headers in $3 (on Debian: apt-get install python$2-dev)"
    fi
    if ! command -v -- "$4" >/dev/null; then
        echo "there is no C compiler $4 (on Debian: apt-get install gcc libc6-dev)"
    elif ! "$4" -E -x c - <<<'#include <stdlib.h>' >/dev/null 2>&1; then
        echo "the C compiler $4 finds no C library headers (on Debian: apt-get install libc6-dev)"
    fi
}

# Prints the first interpreter that has all it takes; without one, says what the likeliest lacks and fails.
find_python() {
    local candidate answer missing facts why='' first=''
    if [[ $(uname -s) != Linux ]]; then
        say "dolphin-mp runs on Linux only (futexes, pidfds): use a Linux machine or container"
        return 2
    fi
    while read -r candidate; do
        # A version manager's stand-in may exist for an interpreter that doesn't: only running it tells.
        if ! answer=$("$candidate" -c "$probe" 2>&1 </dev/null); then
            why=${why:-"; $candidate: ${answer%%$'\n'*}"}
            continue
        fi
        mapfile -t facts <<<"$answer"
        missing=$(lacks "${facts[@]}")
        if [[ -z $missing ]]; then
            printf '%s\n' "${facts[0]}"
            return
        fi
        first=${first:-$missing}
    done < <(candidates)
    first=${first:-"there is no CPython 3.11 or newer (on Debian: apt-get install python3-venv python3-dev gcc libc6-dev)$why"}
    while read -r missing; do
        say "$missing"
    done <<<"$first"
    return 2
}

# What the install depends on, as one word; cheap enough for every start.
sources() {
    (cd "$root" && cat setup.cfg setup.py pyproject.toml dolphin_mp/ipc/_*.pyx) | sha256sum | cut -d ' ' -f 1
}

own_python() { readlink -e -- "$venv/bin/python"; }

wanted_python() { [[ -z ${DOLPHIN_PYTHON:-} || $(find_python 2>/dev/null) == "$(own_python)" ]]; }

# A line each of .venv/installed: sources, what for ("run" or "test"), interpreter, root.
is_current() {
    local was
    [[ -f $venv/installed ]] && mapfile -t was <"$venv/installed" && [[ ${was[0]} == "$(sources)" ]] &&
        [[ ${was[1]} == test || $1 == run ]] && is_own "${was[@]:2}" &&
        is_compiled
}

is_compiled() {
    local source
    for source in "$root"/dolphin_mp/ipc/_*.pyx; do
        compgen -G "${source%.pyx}.*.so" >/dev/null || return
    done
}

# Made for the interpreter $1, which is still the one, in the folder $2: scripts in .venv name where they are.
is_own() { [[ $1 == "$(own_python)" && $2 == "$root" ]] && wanted_python; }

# A venv can be added to, unless an install into it was cut short or it belongs to another place or Python.
is_usable() {
    local was
    [[ ! -e $venv/installing ]] && "$venv/bin/python" -c 'import pip' 2>/dev/null || return 1
    if [[ -f $venv/installed ]]; then
        mapfile -t was <"$venv/installed"
        is_own "${was[@]:2}"
    else
        wanted_python
    fi
}

# setuptools' own hook for an editable install costs each start of Python 9 ms; a path entry that names the
# repository costs nothing but would let `import ipc` pass. So the entry names a folder with one link in it.
link_package() {
    local hook=("$venv"/lib/python3*/site-packages/__editable__.dolphin_mp-*.pth)
    [[ -f ${hook[0]} ]] || return 0
    mkdir -p -- "$venv/src"
    ln -sfn ../../dolphin_mp "$venv/src/dolphin_mp"
    printf '%s\n' "$venv/src" >"${hook[0]}"
}

install_steps() {
    local target=$root
    [[ $2 == run ]] || target="${root}[$2]"
    [[ -x $venv/bin/python ]] || "$1" -m venv "$venv" || return
    "$venv/bin/python" -m pip install --upgrade pip || return  # its newer start-up script spares dolphin-mp 5 ms
    "$venv/bin/python" -m pip install --editable "$target" || return
    link_package || return
    "$venv/bin/python" -m compileall -q "$root"/dolphin_mp "$root"/dolphin_mp/{ipc,workers} || true
}

install() {
    local python made_from purpose=$1 log=$venv/install.log
    python=$(find_python) || return
    made_from=$(sources)
    # Who has run the tests once keeps their tools.
    [[ ! -x $venv/bin/pytest ]] || purpose='test'
    is_usable || rm -rf -- "$venv"
    mkdir -p -- "$venv"
    : >"$venv/installing"
    rm -f -- "$venv/installed"
    say "installing dolphin-mp into $venv with $python; this may take a minute"
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    if ! (unset PYTHONHOME PYTHONPATH; PIP_USER=0 install_steps "$python" "$purpose") >"$log" 2>&1 </dev/null; then
        tail -n 20 -- "$log" >&2
        say "the install failed, see above; all of it is in $log"
        rm -f -- "$venv/installing"
        return 1
    fi
    printf '%s\n' "$made_from" "$purpose" "$(own_python)" "$root" >"$venv/installing"
    mv -f -- "$venv/installing" "$venv/installed"
    trap - INT TERM HUP
}

# Makes .venv ready for $1: "run", or "test" with its tools. One at a time: the repository's folder is the lock.
ensure_venv() {
    ! is_current "$1" || return 0
    exec {lock}<"$root"
    if ! flock --nonblock "$lock"; then
        say "another install is under way: waiting for it"
        flock "$lock"
    fi
    is_current "$1" || install "$1" || return
    exec {lock}<&-
}
