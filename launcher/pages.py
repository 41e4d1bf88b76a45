"""What run-app says about itself: --help, --version, `profiles` and `alias`."""

import os
import shlex
import sys

from launcher import LauncherError, cli, environment, hardware, profiles
from launcher.report import known_profiles, write

# One screen of 80 columns and 24 lines, the shell's next prompt among them.
HELP = """\
run-app [OPTIONS] APP [ARGS...]         an app of ours: run-app transcribe a.mp3
run-app [OPTIONS] -- COMMAND [ARGS...]  any program: run-app -- python train.py
run-app profiles                        which there are, and which auto picks
run-app alias [bash|zsh]                aliases and completion, for ~/.bashrc

  -p, --profile NAME[,NAME...]  profiles, later ones win; a name with a slash is
                                a file; the default is auto
      --env-file FILE           one more file of NAME=value lines
      --set NAME=VALUE          one variable, taken verbatim
      --unset NAME              the program will not see NAME
      --keep NAME               an inherited NAME stands, whatever profiles say
      --print[=table|sh|json]   show every value, where it comes from and what
                                it replaced; start nothing
  -h, --help; --version

Precedence (LD_LIBRARY_PATH and LD_PRELOAD go in front of what is there):
  --set > --env-file > local.env > profiles, later ones first > base > inherited
Profiles: ~/.config/run-app/env ($XDG_CONFIG_HOME), $RUN_APP_ENV_DIR, shipped;
local.env: ~/.config/run-app. Lines are NAME=value in python-dotenv's grammar,
with ${NAME}, ${NAME:-default} and ${SITE_PACKAGES}.
Exit codes: 2 usage or profile, 126 not executable, 127 not found; otherwise the
program's own.
"""


def page(words: list[str], inherited: dict[str, str]) -> int:
    """Answer one of the words that start no program."""
    name, rest = words[0], words[1:]
    if name in ("-h", "--help"):
        write(HELP)
    elif name == "--version":
        from importlib.metadata import PackageNotFoundError, version

        try:
            write(f"run-app {version('run-app')}\n")
        except PackageNotFoundError:
            write("run-app, not installed: only an installed package has a version\n")
    elif name == "alias":
        shell = rest[0] if rest else "zsh" if inherited.get("SHELL", "").endswith("zsh") else "bash"
        if len(rest) > 1 or shell not in ("bash", "zsh"):
            raise LauncherError(f"alias {' '.join(rest)}: it is run-app alias bash, or run-app alias zsh")
        write(_alias(shell, list(known_profiles(profiles.folders(inherited)))))
    elif rest:
        raise LauncherError(f"profiles {' '.join(rest)}: it takes no arguments")
    else:
        write(_profiles(inherited))
    return 0


def _profiles(inherited: dict[str, str]) -> str:
    known = known_profiles(profiles.folders(inherited))
    devices = environment.foresee("CUDA_VISIBLE_DEVICES", profiles.local(inherited, []), inherited)
    picked, _, reason = hardware.choose(devices)
    lines = [f"{name:{max(map(len, known))}}  {path}" for name, path in known.items()]
    return "\n".join([*lines, "", f"auto picks {','.join(picked)}: {reason}", ""])


COMPLETION = r"""
_run_app() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} i
    # bash breaks --profile=NAME in three; no answer at all means file names.
    [[ $word == = ]] && word=
    [[ $before == = ]] && before=${COMP_WORDS[COMP_CWORD-2]}
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --) ((i == COMP_CWORD - 1)) && COMPREPLY=($(compgen -c -- "$word")); return ;;
            -p|--profile|--env-file|--set|--unset|--keep) [[ ${COMP_WORDS[i+1]} == = ]] && ((i++)); ((i++)) ;;
            -*|=) ;;
            alias) COMPREPLY=($(compgen -W "bash zsh" -- "$word")); return ;;
            *) return ;;
        esac
    done
    case $before in
        -p|--profile) COMPREPLY=($(compgen -W "auto PROFILES" -- "${word##*,}"))
            [[ $word == *,* ]] && COMPREPLY=("${COMPREPLY[@]/#/${word%,*},}") ;;
        --env-file) ;;
        --unset|--keep|--set) COMPREPLY=($(compgen -e -- "$word")) ;;
        --print) COMPREPLY=($(compgen -W "table sh json" -- "$word")) ;;
        *) COMPREPLY=($(compgen -W "OFFERED" -- "$word")) ;;
    esac
}
"""
# The launcher imports no app, so their names stand here, for completion.
APPS = ("transcribe", "gradio", "verify", "monitor")


def _alias(shell: str, names: list[str]) -> str:
    script = os.path.join(os.path.dirname(sys.executable), "run-app")
    command = shlex.quote(script) if os.path.isfile(script) else f"{shlex.quote(sys.executable)} -P -m launcher"
    aliases = {"run-app": command} | {f"run-{name}": f"{command} --profile {name}" for name in names if name != "base"}
    file = "~/.zshrc" if shell == "zsh" else "~/.bashrc"
    lines = [f"# For {file}: run-app, and run-NAME for each profile, with completion."]
    if shell == "zsh":
        lines.append("autoload -Uz compinit bashcompinit && compinit && bashcompinit")
    lines += [f"alias {alias}={shlex.quote(words)}" for alias, words in aliases.items()]
    options = [option for option in cli.OPTIONS if option.startswith("--")]
    forms = ["--print", *(f"--print={form}" for form in cli.FORMATS[1:])]
    words = " ".join([*APPS, *cli.COMMANDS, "--", *options, *forms, "--help", "--version"])
    lines.append(COMPLETION.replace("PROFILES", " ".join(names)).replace("OFFERED", words).strip("\n"))
    return "\n".join([*lines, f"complete -o bashdefault -o default -F _run_app {' '.join(aliases)}", ""])
