# shellcheck shell=bash
# Sourced by run, test and lock: where the project is, and whether its .venv is good.
# The good case must cost nothing, so it is decided here by comparing text, without starting Python.

# Through symlinks, so that a link in ~/bin works too.
root=$(readlink -f -- "${BASH_SOURCE[0]}")
root=${root%/scripts/*}
venv=$root/.venv

# The root is part of it because scripts in .venv/bin hold absolute paths: a checkout that was moved or copied
# needs a new .venv. pyproject.toml is, because the installed metadata and commands come from it.
venv_stamp() {
    printf '%s\n%s\n' "$root" "$(<"$root/pyproject.toml")"
}

# packages_are_locked run|test: copies of the locks lie in .venv since everything in them was installed.
packages_are_locked() {
    cmp -s "$venv/.locked" "$root/requirements.lock" || return 1
    [[ $1 == run ]] || cmp -s "$venv/.locked-test" "$root/requirements-test.lock"
}

# venv_is_good run|test. The stamp is written last, so an interrupted install has none.
venv_is_good() {
    [[ -x $venv/bin/python && -x $venv/bin/run-app && -r $venv/.ready ]] || return 1
    [[ $(<"$venv/.ready") == "$(venv_stamp)" ]] && packages_are_locked "$1"
}

# ensure_venv run|test
ensure_venv() {
    venv_is_good "$1" || bash "$root/scripts/make-venv.sh" "$1" || exit
}

# uv's own entry of the lock, hashes and all: enough for pip to install exactly that uv.
uv_requirement() {
    awk '/^uv==/ { found = 1 } found { print } found && !/\\$/ { exit }' "$root/requirements.lock"
}
