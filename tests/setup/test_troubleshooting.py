"""docs/troubleshooting.md: an entry for each id that verify can print, and for no other. The source alone is read."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
MANUAL = ROOT / "docs" / "troubleshooting.md"
SECTIONS = ("Variables", "Installation", "This machine", "Cards", "When it starts, and when it dies")
LONGEST_LINE = 120


class _Module:
    """Which ids the source of one module brings.

    An id is what is passed as `id` to a class or function that has such a field or parameter; it stands there itself,
    or in a variable `id`, a table, or the first place of the tuples that a function of wslconfig.py gives.
    """

    def __init__(self, path: Path, classes: dict[str, int]) -> None:
        self.path = path
        self.tree = ast.parse(path.read_text())
        self.classes = classes

    def ids(self) -> Iterator[str]:
        takers, givers = self.classes | self._functions(), self._givers()
        for node in ast.walk(self.tree):
            match node:
                case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in takers:
                    if passed := _argument(node, takers[name]):
                        yield from self._values(passed)
                case (
                    ast.Assign(targets=[target], value=value) | ast.AnnAssign(target=target, value=ast.expr() as value)
                ):
                    yield from self._bound(target, value)
                case ast.For() | ast.comprehension():
                    yield from self._looped(node.target, node.iter)
                case ast.FunctionDef(name=name) if name in givers:
                    yield from self._given(node)

    def _functions(self) -> dict[str, int]:
        """Those of this module that take an id, and at which place."""
        defined = [node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef)]
        names = {node.name: [argument.arg for argument in node.args.args] for node in defined}
        return {name: arguments.index("id") for name, arguments in names.items() if "id" in arguments}

    def _values(self, node: ast.expr) -> Iterator[str]:
        """The strings that this expression can be. What is collected where it is bound or built gives none here."""
        match node:
            case ast.Constant(value=str(value)):
                yield value
            case ast.IfExp():
                yield from self._values(node.body)
                yield from self._values(node.orelse)
            case ast.BoolOp():
                for one in node.values:
                    yield from self._values(one)
            case (
                ast.Call(func=ast.Attribute(value=ast.Name(id=table), attr="get"))
                | ast.Subscript(value=ast.Name(id=table))
            ):
                yield from self._table(table)
            case ast.Name(id="id") | ast.Attribute(attr="id"):
                pass
            case _:
                raise self._unread(node)

    def _unread(self, node: ast.expr) -> AssertionError:
        said = f"{self.path}:{node.lineno}: this test can't read the ids of `{ast.unparse(node)}`"
        return AssertionError(said)

    def _table(self, name: str) -> Iterator[str]:
        """The values of a dict of this module, by its name."""
        for node in ast.walk(self.tree):
            match node:
                case ast.Assign(targets=[ast.Name(id=found)], value=value) if found == name:
                    for part in ast.walk(value):
                        match part:
                            case ast.Dict():
                                yield from (text for one in part.values for text in self._values(one))
                            case ast.Call(func=ast.Attribute(attr="fromkeys"), args=[_, one]):
                                yield from self._values(one)

    def _bound(self, target: ast.expr, value: ast.expr) -> Iterator[str]:
        """`id = ...` and `id, other = ..., ...`."""
        match target, value:
            case ast.Name(id="id"), _:
                yield from self._values(value)
            case ast.Tuple(), ast.Tuple():
                for one, its in zip(target.elts, value.elts, strict=True):
                    yield from self._bound(one, its)
            case ast.Tuple(), _ if _holds_id(target):
                raise self._unread(value)

    def _looped(self, target: ast.expr, items: ast.expr) -> Iterator[str]:
        """`for name, id in (...)`."""
        if _holds_id(target):
            for item in self._items(items):
                yield from self._bound(target, item)

    def _items(self, node: ast.expr) -> Iterator[ast.expr]:
        """Of a tuple or list, here or by its name: tuples, comprehensions of such, and calls of what gives them."""
        match node:
            case ast.Tuple() | ast.List():
                for one in node.elts:
                    inner = one.value if isinstance(one, ast.Starred) else one
                    if isinstance(one, ast.Starred) and not isinstance(inner, ast.Call):
                        yield from self._items(inner)
                    elif not (isinstance(inner, ast.Call) and ast.unparse(inner.func) in self._givers()):
                        yield inner
            case ast.GeneratorExp() | ast.ListComp():
                yield node.elt
            case ast.Name(id=name):
                found = [
                    each.value
                    for each in ast.walk(self.tree)
                    if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == name
                ]
                if not found:
                    raise self._unread(node)
                for value in found:
                    yield from self._items(value)
            case _:
                raise self._unread(node)

    def _givers(self) -> set[str]:
        """Functions that give tuples whose first place is an id."""
        defined = (node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef))
        return {node.name for node in defined if node.returns and "_Told" in ast.unparse(node.returns)}

    def _given(self, function: ast.FunctionDef) -> Iterator[str]:
        for node in ast.walk(function):
            match node:
                case ast.Return(value=ast.Tuple(elts=[first, *_])) | ast.Yield(value=ast.Tuple(elts=[first, *_])):
                    yield from self._values(first)


def _holds_id(target: ast.expr) -> bool:
    """Whether a loop or an assignment binds the name."""
    return any(isinstance(node, ast.Name) and node.id == "id" for node in ast.walk(target))


def _argument(call: ast.Call, place: int) -> ast.expr | None:
    """What is passed as the id; None where it comes by ** from a probe, whose own call is read."""
    for keyword in call.keywords:
        if keyword.arg == "id":
            return keyword.value
    return call.args[place] if len(call.args) > place else None


def _classes(paths: Iterable[Path]) -> dict[str, int]:
    """Classes with a field `id`, and at which place it stands."""
    found = {}
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                fields = [ast.unparse(line.target) for line in node.body if isinstance(line, ast.AnnAssign)]
                if "id" in fields:
                    found[node.name] = fields.index("id")
    return found


@cache
def printed() -> frozenset[str]:
    """Every id in the source of app/verify."""
    paths = sorted((ROOT / "app" / "verify").rglob("*.py"))
    classes = _classes(paths)
    return frozenset(id for path in paths for id in _Module(path, classes).ids())


def headings(level: int) -> list[str]:
    return re.findall(rf"^{'#' * level} (.+)$", MANUAL.read_text(), re.M)


def entries() -> dict[str, str]:
    """Id: what stands below it."""
    parts = re.split(r"^### (.+)\n", re.sub(r"^## .+\n", "", MANUAL.read_text(), flags=re.M), flags=re.M)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_the_source_is_read_as_it_is_written() -> None:
    """One of each way in which an id is held."""
    assert printed() >= {
        "card",  # passed itself
        "hub-cache",  # to a function
        "shared-memory",  # in a variable
        "malloc-arenas",  # in a table
        "allocator-settings",  # in a table made by dict.fromkeys
        "hub-settings",  # in a loop
        "wslconfig-gpu",  # in a tuple
        "hub-gate",  # in a probe, which prints it
    }


def test_each_id_has_one_entry() -> None:
    counts = Counter(headings(3))

    assert sorted(printed() - counts.keys()) == []
    assert [id for id, count in counts.items() if count > 1] == []


def test_each_entry_is_of_an_id_that_is_still_printed() -> None:
    assert sorted(set(headings(3)) - printed()) == []


def test_each_entry_tells_what_one_sees_why_how_it_is_proved_and_what_mends_it() -> None:
    for id, text in entries().items():
        labels = re.findall(r"^- (\w+): \S", text, re.M)
        assert labels == ["Symptom", "Cause", "Proof", "Mend"], id


def test_the_entries_stand_in_their_sections() -> None:
    assert [title for title in headings(2) if title in SECTIONS] == list(SECTIONS)


def test_what_the_entries_refer_to_is_there() -> None:
    referred = set(re.findall(r"\]\(#([^)]+)\)", MANUAL.read_text()))

    assert sorted(referred - entries().keys()) == []


def test_no_line_is_too_long() -> None:
    assert [line for line in MANUAL.read_text().splitlines() if len(line) > LONGEST_LINE] == []
