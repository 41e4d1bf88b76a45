"""Letters of many scripts: their width, where a line may end, how sentences are joined."""

from __future__ import annotations

import pytest

from app.text import columns, ends_clause, ends_sentence, joined, may_part, plain


@pytest.mark.parametrize(
    ("text", "width"), [("abc", 3), ("é", 1), ("e\u0301", 1), ("漢字", 4), ("한국", 4), ("😀!", 3), ("ที่", 1), ("ｶﾅ", 2)]
)
def test_width(text: str, width: int) -> None:
    assert columns(text) == width


@pytest.mark.parametrize(
    "pieces",
    [
        "one |two",
        "20%",
        "and/or",
        "don’t",
        "ça |va ? |« oui »",
        "10\u00a0000 |ans",
        "行|く。|来|る",
        "「行|く」|と|言っ|た",
        "我|用|Python|写",
        "서울에 |가요",
        "ไป|เที่|ย|ว",
        "ກິ|ນ|ເຂົ້າ",
        "ပ|စ္စ",
        "שלום |עולם",
    ],
)
def test_where_a_line_may_end(pieces: str) -> None:
    text = pieces.replace("|", "")
    assert (
        "".join(("|" if at and text[at] != " " and may_part(text, at) else "") + text[at] for at in range(len(text)))
        == pieces
    )


def test_sentences_are_joined_as_their_script_does() -> None:
    assert joined(["One.", "Two."]) == "One. Two."
    assert joined(["行く。", "来る。", "Yes.", "来る。"]) == "行く。来る。 Yes. 来る。"
    assert joined(["가요.", "네"]) == "가요. 네"
    assert joined(["가", "네"]) == "가 네"


@pytest.mark.parametrize("text", ["you.", "you?", 'you!"', "tú…»", "行く。", "行く。」", "क्या।", "کیا؟", "(you.)"])
def test_a_sentence_ends(text: str) -> None:
    assert ends_sentence(text)
    assert not ends_sentence(text[0])


@pytest.mark.parametrize("text", ["you,", "you;", 'you,"', "tú –", "你，", "你、」", "نعم،"])
def test_a_clause_ends(text: str) -> None:
    assert ends_clause(text)
    assert not ends_clause(text[0])
    assert not ends_sentence(text)


def test_spaces_that_allow_a_break_become_one() -> None:
    assert plain(" a\t b\n\u2028c 10\u00a0000\u202f! \u00a0d ") == "a b c 10\u00a0000\u202f! d"
