# Sourced by .ci/run: what a run may not leave behind.
# shellcheck shell=bash

# Prints a line for each of our shared-memory segments and processes: an orchestrator is titled
# `dolphin-mp [SYSTEM]`, a component `NAME [dolphin-mp SYSTEM]`.
leftovers() {
    local path title
    for path in /dev/shm/*dolphin*; do
        [[ ! -e $path ]] || echo "segment $path"
    done
    for path in /proc/[0-9]*; do
        # A process may be gone by now, and a kernel thread has no command line.
        title=$(tr '\0' ' ' 2>/dev/null <"$path/cmdline") || continue
        if [[ $title == *'[dolphin-mp '* || $title == 'dolphin-mp ['* || $title == *'-m dolphin_mp.'* ]]; then
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
