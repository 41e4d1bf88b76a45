"""One rule: --set > --env-file > local.env > profiles, later ones first > base > inherited."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.launcher.launching import PYTHON, RUN_APP, Run

Profile = Callable[..., Path]
SHOW_X = ("--", "sh", "-c", 'printf %s "${X-unset}"')


@pytest.fixture
def layers(tmp_path: Path, profile: Profile) -> dict[str, list[str]]:
    """X in every layer, each named by its own; the words that bring the layer in."""
    profile("X=first", "first")
    profile("X=second", "second")
    (tmp_path / "config/run-app/local.env").write_text("X=local")
    (tmp_path / "one.env").write_text("X=one")
    (tmp_path / "two.env").write_text("X=two")
    return {
        "first": ["-p", "first"],
        "second": ["-p", "second"],
        "local": [],
        "one": ["--env-file", "one.env"],
        "two": ["--env-file=two.env"],
        "set": ["--set", "X=set"],
        "again": ["--set=X=again"],
    }


def test_each_layer_wins_over_those_below(run_app: Run, layers: dict[str, list[str]], tmp_path: Path) -> None:
    order = list(layers)
    while order:
        words = [word for layer in order for word in layers[layer]]
        if "first" not in order and "second" not in order:
            words += ["-p", "cpu"]
        if "local" not in order:
            (tmp_path / "config/run-app/local.env").unlink(missing_ok=True)
        done = run_app(*words, *SHOW_X, env={"X": "inherited"})
        assert done.stdout == order[-1]
        order.pop()
    assert run_app("-p", "cpu", *SHOW_X, env={"X": "inherited"}).stdout == "inherited"


def test_base_lies_below_every_profile_and_above_what_is_inherited(run_app: Run, profile: Profile) -> None:
    show = ("--", "sh", "-c", 'printf %s "$TOKENIZERS_PARALLELISM"')
    assert run_app("-p", "cpu", *show, env={"TOKENIZERS_PARALLELISM": "true"}).stdout == "false"
    profile("TOKENIZERS_PARALLELISM=true")
    for names in ("mine", "mine,base", "base,mine"):
        assert run_app("-p", names, *show).stdout == "true"


def test_a_replaced_inherited_value_is_said_by_name_and_never_by_value(run_app: Run, profile: Profile) -> None:
    profile("X=new\nY=same\nZ=new")
    done = run_app("-p", "mine", "--", "true", env={"X": "old-value", "Y": "same", "Z": "old-value"})
    assert done.stderr == "run-app: replaces inherited X, Z; --keep NAME lets the inherited one stand\n"
    assert run_app("-p", "mine", "--", "true").stderr == ""
    assert run_app("-p", "cpu", "--set", "X=new", "--", "true", env={"X": "old"}).stderr == ""


def test_keep_lets_the_inherited_value_stand(run_app: Run, profile: Profile) -> None:
    profile("X=new\nY=${X}")
    done = run_app("-p", "mine", "--keep", "X", "--", "sh", "-c", "echo $X $Y", env={"X": "old"})
    assert (done.stdout, done.stderr) == ("old old\n", "")
    done = run_app("-p", "mine", "--keep", "X", *SHOW_X)
    assert done.stdout == "new"
    assert "--keep X changes nothing" in done.stderr


def test_unset_removes_what_is_inherited_and_what_a_profile_sets(run_app: Run, profile: Profile) -> None:
    profile("X=new")
    assert run_app("-p", "mine", "--unset", "X", *SHOW_X, env={"X": "old"}).stdout == "unset"
    done = run_app("-p", "mine", "--unset", "X", "--", "sh", "-c", "echo $RUN_APP_SETTINGS")
    assert "X" not in done.stdout.strip().split(",")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--set", "X"], "--set X: it is --set NAME=VALUE"),
        (["--set", "=1"], "--set NAME=VALUE"),
        (["--set", "1X=1"], "--set 1X: it is --set NAME=VALUE"),
        (["--keep", "X=1"], "--keep X: it is --keep NAME"),
        (["--unset", "A-B"], "--unset A-B: it is --unset NAME"),
        (["--set", "X=1", "--unset", "X"], "contradicts"),
        (["--keep", "X", "--unset", "X"], "contradicts"),
        (["--unset", "RUN_APP_SETTINGS"], "RUN_APP_SETTINGS is what run-app itself reports"),
        (["--set", "RUN_APP_PROFILE=x"], "RUN_APP_PROFILE is what run-app itself reports"),
        (["--set", "MALLOC_ARENA_MAX=four"], "--set: MALLOC_ARENA_MAX=four: it is an integer from 1"),
        (["--env-file", "no.env"], "no.env: No such file or directory"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(run_app: Run, words: list[str], says: str) -> None:
    done = run_app("-p", "cpu", *words, "--", "echo", "started")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert says in done.stderr


def test_set_is_taken_verbatim(run_app: Run) -> None:
    done = run_app("-p", "cpu", "--set", "X=${HOME}'\" $Y=\n", *SHOW_X)
    assert done.stdout == "${HOME}'\" $Y=\n"


def test_a_name_sees_earlier_lines_then_lower_layers_then_what_is_inherited(run_app: Run, profile: Profile) -> None:
    profile("A=low\nB=low", "low")
    profile("A=${A}+high\nC=${A},${B},${D},${E:-default},${F:-}", "high")
    done = run_app("-p", "low,high", "--", "sh", "-c", "echo $C", env={"D": "inherited", "A": "inherited"})
    assert done.stdout == "low+high,low,inherited,default,\n"


def test_loader_lists_go_in_front_without_empty_entries(run_app: Run, profile: Profile, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    a, b, c = (str(tmp_path / name) for name in ("a", "b", "c"))
    profile(f"LD_LIBRARY_PATH={a}::{b}:", "low")
    profile(f"LD_LIBRARY_PATH={c}:${{LD_LIBRARY_PATH}}", "high")
    show = ("--", "sh", "-c", "echo $LD_LIBRARY_PATH")
    done = run_app("-p", "low", *show, env={"LD_LIBRARY_PATH": f":{c}::{b}"})
    assert (done.stdout, done.stderr) == (f"{a}:{b}:{c}\n", "")
    assert run_app("-p", "low,high", *show).stdout == f"{c}:{a}:{b}\n"
    nested = ("--", *(PYTHON, "-P", "-m", "launcher"), "-p", "low")
    assert run_app("-p", "low", *nested, *show, env={"LD_LIBRARY_PATH": c}).stdout == f"{a}:{b}:{c}\n"


def test_nesting_passes_the_same_profile_through_and_names_another(
    run_app: Run, home: dict[str, str], profile: Profile
) -> None:
    profile("MALLOC_ARENA_MAX=3\nX=${HOME}", "wide")
    inner = (PYTHON, "-P", "-m", "launcher")
    show = ("--", "sort", "-z", "/proc/self/environ")
    once = run_app("-p", "cpu,wide", *show)
    for again in (("-p", "cpu,wide"), ()):
        twice = run_app("-p", "cpu,wide", "--", *inner, *again, *show)
        assert (twice.stdout, twice.stderr) == (once.stdout, "")
    other = run_app("-p", "wide,cpu", "--", *inner, "-p", "cpu", "--", "sh", "-c", "echo $RUN_APP_PROFILE $X")
    assert other.stdout == f"cpu {home['HOME']}\n"
    assert other.stderr == "run-app: inside profile wide,cpu, now cpu; what only wide,cpu sets stays\n"


def test_profiles_are_looked_for_in_three_folders_and_never_where_one_stands(
    run_app: Run, profile: Profile, tmp_path: Path
) -> None:
    extra = tmp_path / "extra"
    extra.mkdir()
    (extra / "team.env").write_text("X=team")
    (extra / "cpu.env").write_text("X=team")
    (tmp_path / "here.env").write_text("X=here")
    env = {"RUN_APP_ENV_DIR": str(extra)}
    assert run_app("-p", "team", *SHOW_X, env=env).stdout == "team"
    assert run_app("-p", "cpu", *SHOW_X, env=env).stdout == "team"
    profile("X=user", "cpu")
    assert run_app("-p", "cpu", *SHOW_X, env=env).stdout == "user"
    assert run_app("-p", "here", *SHOW_X).returncode == 2
    done = run_app("-p", "./here.env", "--", "sh", "-c", "echo $X $RUN_APP_PROFILE")
    assert done.stdout == f"here {tmp_path}/here.env\n"
    for bad in ("extra", "/no/such/folder"):
        done = run_app("-p", "cpu", *SHOW_X, env={"RUN_APP_ENV_DIR": bad})
        assert (done.returncode, done.stderr) == (
            2,
            f"run-app: RUN_APP_ENV_DIR={bad}: not a folder with an absolute path\n",
        )


def test_without_a_home_nothing_is_looked_for_where_one_stands(run_app: Run, tmp_path: Path) -> None:
    (tmp_path / "local.env").write_text("X=here")
    for home in ("relative", "~"):
        folder = tmp_path / home / ".config/run-app/env"
        folder.mkdir(parents=True)
        (folder / "cpu.env").write_text("X=here")
        assert run_app("-p", "cpu", *SHOW_X, env={"HOME": home, "XDG_CONFIG_HOME": home}).stdout == "unset"


def test_what_is_said_stays_on_its_line_and_commands_no_terminal(run_app: Run, tmp_path: Path) -> None:
    done = run_app("-p", "./a\n\x1b[2J\udcff.env", *SHOW_X)
    assert done.stderr == f"run-app: {tmp_path}/a\\n\\x1b[2J\\udcff.env: No such file or directory\n"


def test_json_says_who_won_over_whom(run_app: Run, profile: Profile) -> None:
    path = profile("\n# comment\nX=mine\nK=mine")
    words = ("-p", "cpu,mine", "--set", "X=set", "--keep", "K", "--unset", "U", "--print=json", "--", "echo", "a b")
    done = run_app(*words, env={"X": "inherited", "K": "kept", "U": "gone"})
    plan = json.loads(done.stdout)
    assert plan["argv"] == ["echo", "a b"]
    assert plan["profiles"] == ["cpu", "mine"]
    assert (plan["kept"], plan["unset"]) == (["K"], ["U"])
    (x,) = [setting for setting in plan["settings"] if setting["name"] == "X"]
    assert x == {
        "name": "X",
        "value": "set",
        "origin": "--set",
        "replaced": [{"origin": f"{path}:3", "value": "mine"}, {"origin": "inherited", "value": "inherited"}],
    }


def test_the_table_names_file_and_line(run_app: Run, profile: Profile) -> None:
    path = profile("A=1\n\nX='two words'")
    done = run_app("-p", "mine", "--print", "--", "echo", "a b", env={"X": "old"})
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("X ")]
    assert line.split(None, 1)[1] == f"two words   {path}:3"
    assert "instead of 'old' from inherited" in done.stdout
    assert "starts    echo 'a b'\n" in done.stdout


def test_print_sh_is_for_eval(run_app: Run, profile: Profile, tmp_path: Path) -> None:
    profile('A="it\'s"\nB="a\\nb"\nC=')
    printed = run_app("-p", "mine", "--unset", "U", "--print=sh").stdout
    script = printed + 'printf "%s|" "$A" "$B" "${C-unset}" "${U-unset}" "$RUN_APP_PROFILE"'
    done = run_app("-p", "cpu", "--set", "U=1", "--", "sh", "-c", script)
    assert done.stdout == "it's|a\nb||unset|mine|"


def test_a_shell_that_took_a_profile_is_no_start(run_app: Run, profile: Profile) -> None:
    """What is edited later counts, and so does a profile that is named, though the old values are exported."""
    profile("X=old\nY=old")
    profile("X=other", "other")
    printed = run_app("-p", "mine", "--print=sh").stdout
    profile("X=edited")
    for words, x in (([], "edited"), (["-p", "mine"], "edited"), (["-p", "other"], "other")):
        for outer in ([], ["-p", "cpu", "--"], ["-p", "mine", "--"]):
            script = 'eval "$0"; exec "$@"'
            shell = ["sh", "-c", script, printed, *RUN_APP, *words, "--", "sh", "-c", "echo $X $Y"]
            done = run_app(args=[*RUN_APP, *outer, *shell] if outer else shell)
            assert done.stdout == f"{x} old\n", (words, outer, done.stderr)


def test_a_list_says_where_each_part_comes_from(run_app: Run, profile: Profile, tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
    a, b, c = (f"{tmp_path}/{name}" for name in "abc")
    low, high = profile(f"LD_LIBRARY_PATH={a}", "low"), profile(f"A=1\nLD_LIBRARY_PATH={b}", "high")
    words, env = ("-p", "low,high"), {"LD_LIBRARY_PATH": c}
    shown = run_app(*words, "--print", env=env).stdout
    assert f"{b}:{a}:{c}  {high}:2\n" in shown
    assert f" in front of '{a}' from {low}:1\n" in shown
    assert f" in front of '{c}' from inherited\n" in shown
    (entry,) = [
        each
        for each in json.loads(run_app(*words, "--print=json", env=env).stdout)["settings"]
        if each["name"] == "LD_LIBRARY_PATH"
    ]
    assert (entry["value"], entry["origin"], entry["replaced"]) == (f"{b}:{a}:{c}", f"{high}:2", [])
    assert entry["in_front_of"] == [{"origin": f"{low}:1", "value": a}, {"origin": "inherited", "value": c}]


@pytest.mark.parametrize("form", ["table", "sh", "json"])
def test_secrets_are_never_printed(run_app: Run, profile: Profile, tmp_path: Path, form: str) -> None:
    profile(
        "HF_TOKEN=hunter2-token\nMY_APIKEY=hunter2-key\nURL=https://me:${HF_TOKEN}@host\nTOKENIZERS_PARALLELISM=true"
    )
    (tmp_path / "config/run-app/local.env").write_text("DB_PASSWORD=hunter2-local\nAWS_SECRET_ID=hunter2-id")
    done = run_app("-p", "mine", f"--print={form}", "--", "echo", "hunter2-token", env={"HF_TOKEN": "hunter2-old"})
    assert "hunter2" not in done.stdout + done.stderr
    assert "HF_TOKEN" in done.stdout + done.stderr
    assert "https" in done.stdout or form == "sh"
    assert done.returncode == 0
    shown = run_app("-p", "mine", "--", "sh", "-c", "echo $HF_TOKEN $URL $DB_PASSWORD")
    assert shown.stdout == "hunter2-token https://me:hunter2-token@host hunter2-local\n"


def test_profiles_lists_what_there_is_and_what_auto_would_pick(run_app: Run, profile: Profile) -> None:
    mine, cpu = profile("X=1"), profile("X=1", "cpu")
    done = run_app("profiles")
    assert done.returncode == 0
    lines = dict(line.split(None, 1) for line in done.stdout.splitlines() if ".env" in line)
    assert set(lines) == {"base", "blackwell96", "cpu", "gpu", "gpu48", "mine", "wsl"}
    assert (lines["mine"], lines["cpu"]) == (str(mine), str(cpu))
    assert "auto picks " in done.stdout


def test_help_fits_one_screen_and_states_the_rule(run_app: Run) -> None:
    done = run_app("--help", env={"HOME": f"/{'home' * 30}"})
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert "  --set > --env-file > local.env > profiles, later ones first > base > inherited" in lines
    assert run_app("--version").stdout.startswith("run-app ")
    assert run_app("-p", "cpu", "-h").stdout == done.stdout


def test_keep_and_set_of_one_name_contradict_each_other(run_app: Run) -> None:
    done = run_app("-p", "cpu", "--keep", "X", "--set", "X=1", "--", "true")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--keep X contradicts --set X" in done.stderr


def test_a_secret_that_was_replaced_is_not_printed_either(run_app: Run, profile: Profile) -> None:
    profile("URL=https://${HF_TOKEN}@hub\nHF_TOKEN=newer-hunter2\nAWS_ACCESS_KEYID=key-hunter2")
    env = {"HF_TOKEN": "older-hunter2"}
    for form in ("table", "json", "sh"):
        done = run_app("-p", "mine", f"--print={form}", env=env)
        assert "hunter2" not in done.stdout


@pytest.mark.parametrize("form", ["table", "sh", "json"])
def test_a_secret_that_is_left_out_is_not_printed_either(
    run_app: Run, profile: Profile, tmp_path: Path, form: str
) -> None:
    profile("PART=visible\nHF_TOKEN=${PART}-hunter\nURL=https://${HF_TOKEN}@hub\nAPI_KEY=kept-hunter\n")
    env = {"OLD_TOKEN": "older-hunter", "HF_TOKEN": "inherited-hunter", "API_KEY": "shell-hunter"}
    words = ("-p", "mine", "--unset", "HF_TOKEN", "--unset", "OLD_TOKEN", "--keep", "API_KEY", f"--print={form}")
    argv = ("--", "curl", "https://older-hunter@hub", "-H", "inherited-hunter", "visible-hunter", "kept-hunter")
    done = run_app(*words, *argv, "shell-hunter", env=env)
    assert done.returncode == 0
    assert "hunter" not in done.stdout + done.stderr
    assert "visible" in done.stdout


def test_a_value_can_not_break_the_table(run_app: Run) -> None:
    done = run_app("-p", "cpu", "--set", "X=a\nb\x1b[2J", "--print")
    assert "a\\nb\\x1b[2J" in done.stdout
    assert "\x1b" not in done.stdout


def test_nor_can_a_file_or_an_argument(run_app: Run, tmp_path: Path) -> None:
    (tmp_path / "a\x1b[2J\nb.env").write_text("X=1")
    done = run_app("-p", "./a\x1b[2J\nb.env", "--print", "--", "echo", "c\x1b[2J", "d\ne")
    assert done.stdout.splitlines()[:2] == [
        f"profiles  {tmp_path}/a\\x1b[2J\\nb.env",
        "starts    echo 'c\\x1b[2J' 'd\\ne'",
    ]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("X ")]
    assert line.endswith(f"{tmp_path}/a\\x1b[2J\\nb.env:1")
    assert "\x1b" not in done.stdout


def test_a_name_that_is_no_name_is_passed_over(run_app: Run) -> None:
    done = run_app("-p", "cpu", "--", "env", env={"": "foo"})
    assert done.returncode == 0, done.stderr
