"""Settings and the inherited environment -> the new environment and, for each name, who won over whom. Pure."""

from launcher import LauncherError
from launcher.masking import Mask
from launcher.profiles import Setting, is_name

# Lists of the loader: put in front of what is there, instead of replacing it.
LISTS = ("LD_LIBRARY_PATH", "LD_PRELOAD")
# Where a value comes from that an enclosing start has set.
OUTER = "outer run-app"
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class Entry:
    """A name the start sets: its final value, where that comes from, and what it won over (origin, value).

    What a list of the loader won over stands behind its own entries.
    """

    __slots__ = ("name", "origin", "replaced", "value")

    def __init__(self, name: str, value: str, origin: str, replaced: list[tuple[str, str]]) -> None:
        self.name = name
        self.value = value
        self.origin = origin
        self.replaced = replaced


class Plan:
    """The whole new environment, and what was decided on the way to it."""

    __slots__ = ("dropped", "entries", "environment", "kept", "unset")

    def __init__(self, inherited: dict[str, str], outer: "Iterable[str]" = ()) -> None:
        self.environment = dict(inherited)
        self.entries = {name: Entry(name, inherited[name], OUTER, []) for name in outer if name in inherited}
        self.kept: list[str] = []
        self.unset: list[str] = []
        # What --keep and --unset leave out: nothing sees it, and yet no secret among it may be shown.
        self.dropped: list[Entry] = []


def merge(
    settings: "Iterable[Setting]",
    inherited: dict[str, str],
    *,
    own: "Sequence[Setting]" = (),
    outer: "Sequence[str]" = (),
    nested: bool = False,
    keep: "Iterable[str]" = (),
    unset: "Iterable[str]" = (),
    check: "Callable[[Setting, str], str | None]" = lambda setting, value: value,
    site_packages: "Callable[[], str]" = lambda: "",
) -> Plan:
    """Lay `settings` over `inherited`, in rising precedence, and this command line's `own` over them.

    `outer` are the names an enclosing start set. Where that was under the same profile (`nested`), it has decided:
    of `settings` only what was lost since is laid anew (a setuid program loses LD_*), and a list's missing entries.

    `check` sees each expanded value and returns it, returns what it must become, or None to drop the setting; it
    raises LauncherError for one that cannot be right.
    """
    plan = Plan(inherited, outer)
    environment = plan.environment
    # Of each name what was laid last: of a list only its own part.
    laid: dict[str, str] = {}
    for setting in (*settings, *own):
        name = setting.name
        if name in keep and name in inherited:
            if name not in plan.kept:
                plan.kept.append(name)
            plan.dropped.append(Entry(name, setting.value, setting.origin, []))
            continue
        decided = nested and setting not in own
        if decided and (name not in outer or (name in inherited and name not in LISTS)):
            continue
        # What the user's shell has already expanded is not expanded again.
        verbatim = setting.origin.startswith("--")
        value = setting.value if verbatim else expand(setting, environment, site_packages)
        try:
            checked = check(setting, value)
        except LauncherError:
            shown = Mask(plan)(value)
            if shown == value:
                raise
            check(setting, shown)  # says the same with the secret left out
            raise LauncherError(f"{setting.origin}: {name} cannot be what its secret makes of it") from None
        if checked is None:
            continue
        there = environment.get(name, "")
        if decided and name in LISTS and join(name, there, checked) == join(name, there, ""):
            continue
        before = plan.entries.get(name)
        replaced = [("inherited", there)] if name in inherited else []
        if before:
            replaced = [*before.replaced, (before.origin, laid.get(name, before.value))]
        laid[name] = checked
        if name in LISTS:
            checked = join(name, checked, there)
        environment[name] = checked
        plan.entries[name] = Entry(name, checked, setting.origin, replaced)
    for name in unset:
        plan.dropped.append(plan.entries.pop(name, Entry(name, inherited.get(name, ""), "inherited", [])))
        environment.pop(name, None)
        plan.unset.append(name)
    return plan


def foresee(
    name: str,
    settings: "Sequence[Setting]",
    inherited: dict[str, str],
    keep: "Iterable[str]" = (),
    unset: "Iterable[str]" = (),
) -> str | None:
    """What `name` will be, before all the profiles are known; None where nothing sets it."""
    # Only what it is made of: another line may well ask for a name of the profile that is yet to be picked.
    wanted, needed = {name}, []
    for setting in reversed(settings):
        if setting.name in wanted:
            wanted.update(word.partition("}")[0].partition(":-")[0] for word in setting.value.split("${")[1:])
            needed.append(setting)
    return merge(needed[::-1], inherited, keep=keep, unset=unset).environment.get(name)


def join(name: str, first: str, second: str) -> str:
    """Two lists of the loader as one: no entry twice, and none empty (ld.so reads that as the current directory)."""
    entries = f"{first}:{second}"
    if name == "LD_PRELOAD":
        entries = entries.replace(" ", ":")
    return ":".join(dict.fromkeys(entry for entry in entries.split(":") if entry))


def expand(setting: Setting, environment: dict[str, str], site_packages: "Callable[[], str]") -> str:
    """Replace ${NAME} and ${NAME:-default}; anything else that begins with ${ is an error, as is an unknown name."""
    done, mark, rest = setting.value.partition("${")
    while mark:
        inside, closed, rest = rest.partition("}")
        name, has_default, default = inside.partition(":-")
        if not closed or "${" in default or not is_name(name):
            raise LauncherError(
                f"{setting.origin}: {setting.name} has a ${{ that cannot be expanded; "
                "only ${NAME} and ${NAME:-default} can"
            )
        if name == "SITE_PACKAGES":
            done += site_packages()
        elif name in environment:
            done += environment[name]
        elif has_default:
            done += default
        else:
            raise LauncherError(
                f"{setting.origin}: {setting.name} asks for ${{{name}}}, which nothing has set; "
                f"write ${{{name}:-default}} if it may be absent"
            )
        literal, mark, rest = rest.partition("${")
        done += literal
    return done
