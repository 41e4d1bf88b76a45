#!/usr/bin/env bash
# make-venv.sh run|test: makes .venv or brings it up to date, from the lock alone. Called by venv.sh.
# What can go wrong on a stranger's machine ends in one line on stderr and exit code 2.
set -euo pipefail
# shellcheck source=scripts/venv.sh
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/venv.sh"
# shellcheck source=scripts/machine.sh
source "$root/scripts/machine.sh"

kind=$1
caller=scripts/$kind
log=$venv/install.log
cache=${UV_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/uv}
running= # the process group of the step under way

# Measured with torch 2.8 and its CUDA wheels; uv links .venv to its cache where both lie on one file system.
download_mb=${VENV_DOWNLOAD_MB:-4700}
disk_mb=${VENV_DISK_MB:-9200}

say() { printf '%s: %s\n' "$caller" "$*" >&2; }
die() {
    say "$*"
    exit 2
}

gb() { printf '%d.%d GB' $(($1 / 1000)) $(($1 % 1000 / 100)); }

interrupted() { # EXIT_CODE
    [[ -z $running ]] || kill -TERM -- "-$running" 2>/dev/null || true
    wait
    [[ ! -t 2 ]] || echo >&2 # below the line of progress
    say "interrupted; the next call starts .venv over, from what is downloaded by then"
    exit "$1"
}

# progress PID WHAT STARTED: one line, redrawn on a terminal. wchar is what uv has unpacked so far.
progress() {
    local line key value written=0
    line="$2, $((SECONDS - $3)) s"
    if [[ $2 == packages ]]; then
        while read -r key value; do [[ $key != wchar: ]] || written=$((value / 1000000)); done < <(cat "/proc/$1/io" 2>/dev/null)
        if [[ $(<"$log") == *$'\n'Installed\ * ]]; then
            line+=": compiling"
        else
            line+=": $(gb "$written") of about $(gb "$disk_mb") unpacked"
        fi
    fi
    if [[ -t 2 ]]; then printf '\r\e[K%s: %s' "$caller" "$line" >&2; else say "$line"; fi
}

# step WHAT COMMAND...: runs it with its output in the log, showing progress.
# In a process group of its own (set -m): Ctrl-C then reaches this script alone, which ends the whole group.
step() {
    local what=$1 started=$SECONDS shown=$SECONDS every=15
    shift
    [[ ! -t 2 ]] || every=1
    printf '\n== %s\n' "$what" 2>/dev/null >>"$log" || true
    log_start=$(($(stat -c %s -- "$log") + 1))
    set -m
    "$@" </dev/null >>"$log" 2>&1 &
    running=$!
    set +m
    while kill -0 "$running" 2>/dev/null; do
        read -rt 0.1 -u "$clock" || true
        if ((SECONDS - shown >= every)); then
            shown=$SECONDS
            progress "$running" "$what" "$started"
        fi
    done
    local code=0
    wait "$running" || code=$?
    running=
    [[ ! -t 2 ]] || printf '\r\e[K' >&2
    ((code == 0)) || explain_failure "$what"
}

explain_failure() { # WHAT: reads what the step wrote
    local said line
    said=$(tail -c "+$log_start" -- "$log")
    if grep -qE 'No space left on device|Disk quota exceeded' <<<"$said" || ! has_room; then
        die "the disk is full: .venv takes about $(gb "$disk_mb"), and $(free_places) (log: $log)"
    fi
    if line=$(grep -m1 -E "$network_errors" <<<"$said"); then
        # Nothing is changed before everything has arrived: an older .venv is still whole.
        [[ $fresh == yes ]] || rm -f "$venv/.unfinished"
        die "no network: the package index cannot be reached; behind a mirror set PIP_INDEX_URL and" \
            "UV_DEFAULT_INDEX (log: $log, first: ${line:0:200})"
    fi
    line=$(grep -iE '^ *(error|cause)' <<<"$said" | tail -n 1) || line=${said##*$'\n'}
    die "$1 could not be installed: ${line:0:200} (log: $log)"
}

# May .venv be brought up to date as it is? Not if an install was cut short: uv takes a package for whole
# when its dist-info is there. Not if its scripts name another place.
is_reusable() {
    [[ ! -e $venv/.unfinished ]] && grep -qsF "$venv/bin/python" "$venv/bin/pip" &&
        "$venv/bin/python" -I -c "import pip, sys; assert (3, 11) <= sys.version_info[:2] <= (3, 13)" 2>/dev/null
}

[[ "$(uname -s) $(uname -m)" == "Linux x86_64" ]] ||
    die "the locked packages exist for Linux on x86_64 alone; this is $(uname -s) on $(uname -m)"

mkdir -p "$venv" 2>/dev/null || die "cannot write in $root"
: 2>/dev/null >>"$venv/.make-lock" || die "cannot write in $venv"
# (.venv/.lock is uv's own.) Children inherit the lock: a uv that outlives its killed parent still keeps others away.
exec {lock}<"$venv/.make-lock"
if ! flock -n "$lock"; then
    say "another call is making .venv; waiting for it"
    flock "$lock"
fi
! venv_is_good "$kind" || exit 0 # another call was faster

exec {clock}<> <(:) # never has anything to read: `read -t` on it is a sleep that starts no process
trap 'interrupted 129' HUP
trap 'interrupted 130' INT
trap 'interrupted 143' TERM
[[ ! -x $venv/bin/pytest ]] || kind="test" # what scripts/test once added stays
started=$SECONDS

if is_reusable; then
    fresh=no
    say "bringing .venv up to date"
else
    fresh=yes
    choose_python # or dies
    check_room    # or dies
    say "making .venv with Python $python_version: about $(gb "$download_mb") to download unless cached, $(gb "$disk_mb") on disk"
fi

rm -f "$venv/.ready"
: >"$venv/.unfinished" || die "cannot write in $venv"
: >"$log"
cd "$root"
if [[ $fresh == yes ]]; then
    find "$venv/" -mindepth 1 -maxdepth 1 ! -name .make-lock ! -name .unfinished ! -name install.log -exec rm -rf {} +
    step "the empty .venv" "$python" -I -m venv "$venv"
fi

uv_requirement >"$venv/uv.txt"
read -r wanted _ <"$venv/uv.txt" || die "requirements.lock holds no uv"
if [[ "$("$venv/bin/uv" --version 2>/dev/null)" != "uv ${wanted#uv==}"* ]]; then
    # PIP_USER: a `user = true` in somebody's pip.conf fails in a venv.
    step "uv" env PIP_USER=0 "$venv/bin/python" -I -m pip install --no-input --disable-pip-version-check \
        --progress-bar off --force-reinstall --no-deps --require-hashes -r "$venv/uv.txt"
fi

uv=(env -u UV_SYSTEM_PYTHON "$venv/bin/uv" pip)
if ! packages_are_locked "$kind"; then
    rm -f "$venv/.locked" "$venv/.locked-test"
    locks=(requirements.lock)
    [[ $kind == run ]] || locks+=(requirements-test.lock)
    step "packages" "${uv[@]}" sync --python "$venv/bin/python" --require-hashes --compile-bytecode "${locks[@]}"
    cp requirements.lock "$venv/.locked"
    [[ $kind == run ]] || cp requirements-test.lock "$venv/.locked-test"
fi
step "run-app itself" "${uv[@]}" install --python "$venv/bin/python" --no-build-isolation --no-deps --editable "$root"

rm -f "$venv/.unfinished"
venv_stamp >"$venv/.ready.new"
mv "$venv/.ready.new" "$venv/.ready"
say ".venv is ready after $((SECONDS - started)) s"
