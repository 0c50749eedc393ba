# Sourced by .ci/run: what a run may not leave behind.
# shellcheck shell=bash

# The whole of a command line of ours: an orchestrator is titled `dolphin-mp [SYSTEM]`, a component
# `NAME [dolphin-mp SYSTEM]`, and what has no title yet runs the command or a module of the package.
name='[a-z0-9][a-z0-9_@-]*'
ours="^(dolphin-mp \\[$name\\]|$name \\[dolphin-mp $name\\]|[^ ]*python[0-9.]* ([^ ]*/dolphin-mp|(-[^ ]+ )*-m dolphin_mp\\.).*) *$"

# Prints a line for each of our shared-memory segments and processes.
leftovers() {
    local path title
    for path in /dev/shm/*dolphin*; do
        [[ ! -e $path ]] || echo "segment $path"
    done
    for path in /proc/[0-9]*; do
        # A process may be gone by now, and a kernel thread has no command line.
        title=$(tr '\0' ' ' 2>/dev/null <"$path/cmdline") || continue
        if [[ $title =~ $ours ]]; then
            echo "process ${path#/proc/} $title"
        fi
    done
}

# Fails if something is there that was not in $1; what is just ending gets some seconds.
check_leftovers() {
    local new='' tries
    for tries in {1..10}; do
        new=$(comm -13 <(sort <<<"$1") <(leftovers | sort))
        [[ -n $new ]] || return 0
        ((tries == 10)) || sleep 0.5
    done
    printf 'left behind:\n%s\n' "$new"
    return 1
}
