"""What must hold for any settings and any inherited environment."""

import io
import random
import subprocess

from dotenv.parser import parse_stream
from hypothesis import example, given, settings
from hypothesis import strategies as st

from launcher import LauncherError
from launcher.environment import join, merge
from launcher.grammar import any_lines
from launcher.profiles import Setting, plain_lines

NAMES = st.sampled_from("A B C D E_1 LD_LIBRARY_PATH LD_PRELOAD".split())
VALUES = st.text(st.characters(exclude_characters="\0$", codec="utf-8"), max_size=12)
ENVIRONMENTS = st.dictionaries(NAMES, VALUES, max_size=5)
LAYERS = st.lists(st.tuples(NAMES, VALUES), max_size=12)
LISTS = ("LD_LIBRARY_PATH", "LD_PRELOAD")


def lines(pairs: list[tuple[str, str]]) -> list[Setting]:
    return [Setting(name, value, f"file:{number}") for number, (name, value) in enumerate(pairs)]


@given(LAYERS, ENVIRONMENTS, st.sets(NAMES, max_size=3), st.sets(NAMES, max_size=3))
def test_the_last_one_wins_unless_kept_or_unset_and_nothing_else_changes(
    pairs: list[tuple[str, str]], inherited: dict[str, str], keep: set[str], unset: set[str]
) -> None:
    before = dict(inherited)
    plan = merge(lines(pairs), inherited, keep=keep, unset=unset)
    assert inherited == before
    last = dict(pairs)
    for name in {*inherited, *last}:
        got = plan.environment.get(name)
        if name in unset:
            assert got is None
        elif name not in last or (name in keep and name in inherited):
            assert got == inherited[name]
        elif name not in LISTS:
            assert got == last[name]
            origins = [origin for origin, _ in plan.entries[name].replaced]
            layers = [f"file:{i}" for i, (other, _) in enumerate(pairs) if other == name]
            assert [*origins, plan.entries[name].origin] == [*(["inherited"] if name in inherited else []), *layers]
    assert set(plan.environment) <= {*inherited, *last}
    assert set(plan.kept) == {name for name in keep if name in inherited and name in last}


@given(LAYERS, ENVIRONMENTS)
def test_a_second_start_under_the_same_settings_changes_nothing(
    pairs: list[tuple[str, str]], inherited: dict[str, str]
) -> None:
    once = merge(lines(pairs), inherited).environment
    assert merge(lines(pairs), once).environment == once


@given(st.sampled_from(LISTS), VALUES, VALUES)
def test_a_joined_list_has_no_entry_twice_none_empty_and_the_first_in_front(name: str, first: str, second: str) -> None:
    def split(text: str) -> list[str]:
        return [word for word in (text.replace(" ", ":") if name == "LD_PRELOAD" else text).split(":") if word]

    entries = join(name, first, second)
    assert entries.split(":") == list(dict.fromkeys([*split(first), *split(second)])) or (entries == "")
    assert (entries == "") == (not split(first) and not split(second))


@given(st.dictionaries(NAMES, VALUES, min_size=1), st.sampled_from("A B C".split()))
def test_expansion_takes_the_value_as_it_is_and_only_once(inherited: dict[str, str], name: str) -> None:
    nested = inherited | {"A": "${B}"}
    plan = merge(lines([("X", f"<${{{name}:-none}}>")]), nested)
    assert plan.environment["X"] == f"<{nested.get(name, 'none')}>"


PIECES = st.sampled_from(
    [
        *("A", "B_2", "=", "==", "x", "1", "#", " ", "\t", "\n", "\n\n", "\r", "\r\n", "'", '"', "\\", "$", "${A}"),
        *("export ", "é", "\ufeff", "\x0b", "\xa0", "\u2028", "\x85", ":", ",", "/a/b"),
    ]
)


@settings(max_examples=400)
@example("# comment\rA=1")
@example("A=1\x85B=2")
@given(st.lists(PIECES, max_size=14).map("".join))
def test_plain_lines_mean_to_us_what_they_mean_to_python_dotenv(text: str) -> None:
    """The reader that spares python-dotenv's import must never give another answer than python-dotenv."""
    plain = plain_lines(text)
    if plain is None:
        return
    bindings = list(parse_stream(io.StringIO(text, newline="")))
    assert not any(binding.error for binding in bindings)
    assert [(name, value) for name, value, _ in plain] == [(b.key, b.value) for b in bindings if b.key is not None]
    assert plain == any_lines(text, "file")


@given(st.lists(st.tuples(NAMES, st.from_regex(r"[!-~]{0,8}", fullmatch=True)), max_size=6))
def test_ordinary_lines_are_plain(pairs: list[tuple[str, str]]) -> None:
    """Or the test above would say nothing."""
    text = "".join(f"# why\n{name}={value}\n" for name, value in pairs)
    if not set("'\"#\\") & set("".join(value for _, value in pairs)):
        assert [(name, value) for name, value, _ in plain_lines(text) or []] == pairs


@settings(max_examples=200)
@given(st.lists(PIECES, max_size=14).map("".join))
def test_line_numbers_point_at_the_name(text: str) -> None:
    try:
        found = any_lines(text, "file")
    except LauncherError:
        return
    numbered = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for name, _, line in found:
        # A quoted name may go over a line's end; no name for a variable, but it must be refused by its line.
        assert name.replace("\r", "\n").split("\n")[0] in numbered[line - 1]


def test_print_sh_gives_every_value_back() -> None:
    """One shell reads 300 values of the characters that shells mind."""
    from launcher.masking import Mask
    from launcher.report import _sh

    chosen = random.Random(3)
    values = ["".join(chosen.choices("ab'\"\\$`! \n\t*?[]{}();&|<>#~%é", k=chosen.randrange(12))) for _ in range(300)]
    plan = merge([Setting(f"V{i}", value, "--set") for i, value in enumerate(values)], {})
    plan.environment |= {"RUN_APP_PROFILE": "", "RUN_APP_SETTINGS": ""}
    script = _sh(plan, [], [], Mask(plan)) + "".join(f'printf "%s\\0" "$V{i}";' for i in range(len(values)))
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=True, env={})
    assert done.stdout.decode().split("\0")[:-1] == values
