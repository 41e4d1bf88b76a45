# shellcheck shell=bash disable=SC2154
# Sourced by make-venv.sh: what this machine has - a Python that fits, room on its disks - and how a step's log
# says that the network is missing.

# What pip and uv write when an index cannot be reached.
# shellcheck disable=SC2034 # used by make-venv.sh
network_errors='NewConnectionError|Name or service not known|Temporary failure in name resolution|Network is unreachable'
network_errors+='|Connection (refused|reset)|ProxyError|Max retries exceeded|TimeoutError|timed out|IncompleteRead'
network_errors+='|error sending request|error decoding response body|invalid peer certificate|CERTIFICATE_VERIFY_FAILED'

# Prints: version, verdict, real path. The real path names the minor version (python3.11), so an upgrade of the
# system's python3 shows as a missing interpreter. Free-threaded builds and musl have no wheels in the lock.
probe='
import os, platform, struct, sys
def verdict():
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return "version"
    libc, libc_version = platform.libc_ver()
    if (sys.implementation.name, struct.calcsize("P"), libc) != ("cpython", 8, "glibc") or "t" in sys.abiflags:
        return "build"
    if tuple(int(part) for part in libc_version.split(".")[:2]) < (2, 28):
        return "build"
    try:
        import venv, ensurepip
    except ImportError:
        return "venv"
    return "ok"
print("%d.%d.%d" % sys.version_info[:3], verdict(), os.path.realpath(sys.executable))
'

# choose_python: sets python and python_version, or dies. $PYTHON, or the first on PATH that fits.
# A pyenv shim of a version that is not active fails the probe like an absent one.
choose_python() {
    local name path version verdict real found="" no_venv=""
    local names=(python3 python3.13 python3.12 python3.11)
    [[ -z ${PYTHON:-} ]] || names=("$PYTHON")
    for name in "${names[@]}"; do
        while read -r path; do
            read -r version verdict real < <("$path" -I -c "$probe" 2>/dev/null) || continue
            case $verdict in
                ok)
                    python=$real
                    python_version=$version
                    return
                    ;;
                venv) no_venv=${no_venv:-$version} ;;
                build) version+=" (not CPython for glibc 2.28 or newer)" ;;
            esac
            [[ $found == *"$version"* ]] || found+="${found:+, }$version"
        done < <(type -aP -- "$name")
    done
    [[ -z $no_venv ]] ||
        die "Python $no_venv has no venv module; on Debian and Ubuntu: apt install python${no_venv%.*}-venv"
    die "Python 3.11, 3.12 or 3.13 is needed; found ${PYTHON:+under \$PYTHON }${found:-none}. Install one" \
        "(on Debian and Ubuntu: apt install python3 python3-venv) or name one: PYTHON=/path/to/python3.12"
}

existing_parent() { # PATH
    local path=$1
    until [[ -d $path ]]; do path=$(dirname -- "$path"); done
    printf '%s\n' "$path"
}

free_mb() { df -Pk -- "$(existing_parent "$1")" | awk 'NR == 2 { printf "%d\n", $4 * 1.024 / 1000 }'; }

used_mb() { du -skc -- "$@" 2>/dev/null | awk 'END { printf "%d\n", $1 * 1.024 / 1000 }' || true; }

free_places() {
    printf '%s has %s free, %s has %s' "$root" "$(gb "$(free_mb "$root")")" "$cache" "$(gb "$(free_mb "$cache")")"
}

# Less than this and a step that failed failed for it: its log may have found no room either.
has_room() { (($(free_mb "$venv") > 50 && $(free_mb "$cache") > 50)); }

# check_room: dies if .venv cannot fit. What uv's cache and an older .venv hold is counted as ours, so this never
# refuses wrongly; where it hopes too much, the step that runs out of space says so.
check_room() {
    local here there
    here=$(existing_parent "$venv")
    there=$(existing_parent "$cache")
    if [[ $(stat -c %d -- "$here") == "$(stat -c %d -- "$there")" ]]; then
        # One file system: the cache's files are linked, so each counts once. A tenth is compiled here anew.
        require_room "$here" $((disk_mb - $(used_mb "$cache" "$venv"))) $((disk_mb / 10))
    else
        require_room "$here" $((disk_mb - $(used_mb "$venv"))) 0
        require_room "$there" $((disk_mb - $(used_mb "$cache"))) 0
    fi
}

require_room() { # FOLDER MB AT_LEAST
    local needed=$(($2 > $3 ? $2 : $3)) free
    free=$(free_mb "$1")
    ((free >= needed)) ||
        die "not enough room: about $(gb "$needed") are needed on the disk of $1, $(gb "$free") are free"
}
