"""Text as it is set, in any script: how wide it is, where a line may end, how two pieces are joined. Pure functions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from app.transcript import SENTENCE_END

# Thai and Lao, Burmese, Khmer; kana, bopomofo and Han with their punctuation and wide forms. Hangul writes spaces.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u312f\u3190-\u9fff\uf900-\ufaff\uff01-\uff9f\U00020000-\U0003ffff]"
)
_WHITESPACE = re.compile(r"\s*[^\S\xa0\u202f]\s*")
_LOOSE_END = re.compile(r"[!?;:»]+(?: |$)")
"""As French writes it, after a space that is no place for a break."""
_NEVER_FIRST = frozenset("ะาำฯະາຳຯぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ")
"""Letters that lean on the one before them; marks, and what closes or goes on, are told by their category."""
_NEVER_LAST = frozenset("เแโใไເແໂໃໄ\u1039\u17d2")
"""Vowels written before their consonant, and the signs that stack the next consonant on the last."""
_LEANING = frozenset(("Mn", "Mc", "Me", "Cf", "Pe", "Pf", "Po", "Pd", "Lm", "Sk"))
_OPENING = frozenset(("Ps", "Pi"))

_SENTENCE_END = (*SENTENCE_END, "؟", "۔", "।", "॥", "։", "។", "။")
_CLAUSE_END = (*",;:–—،؛、，；：၊", "--")
_CLOSING = "\"')]»”’」』）】"


def plain(text: str) -> str:
    """On one line, with single spaces; those that forbid a break, as in `10 000`, stay what they are."""
    return _WHITESPACE.sub(" ", text.strip())


def columns(text: str) -> int:
    """The width in columns: 2 for a wide character of East Asia or an emoji, 0 for a mark on another character."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def may_part(text: str, at: int) -> bool:
    """Whether a new line may begin with `text[at]`, no space itself: after a space; and in a script without spaces
    nearly anywhere.
    """
    before, after = text[at - 1], text[at]
    if before == " ":
        return not (_LOOSE_END.match(text, at) or text[:at].endswith("« "))
    return (
        bool(_UNSPACED.match(before) or _UNSPACED.match(after))
        and all(_UNSPACED.match(side) or side.isalnum() for side in (before, after))
        and not (after in _NEVER_FIRST or unicodedata.category(after) in _LEANING)
        and not (before in _NEVER_LAST or unicodedata.category(before) in _OPENING)
    )


def spaced(before: str, after: str) -> bool:
    """Whether a space belongs between two sentences, or parts of one."""
    return not (_UNSPACED.match(before[-1:]) and _UNSPACED.match(after[:1]))


def joined(pieces: Iterable[str]) -> str:
    """Sentences in a row, with spaces where their script has them."""
    text = ""
    for piece in pieces:
        text += f" {piece}" if text and spaced(text, piece) else piece
    return text


def ends_sentence(text: str) -> bool:
    return text.rstrip(_CLOSING).endswith(_SENTENCE_END)


def ends_clause(text: str) -> bool:
    return text.rstrip(_CLOSING).endswith(_CLAUSE_END)
