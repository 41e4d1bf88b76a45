"""What the scripts of the page say, and how they write it."""

from __future__ import annotations

import re

import pytest

import app.web.page
from app.web.words import EN, ES

SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in app.web.page.STATIC.glob("*.js")}
CODE = {name: re.sub(r"(?m)//.*$", "", text) for name, text in SCRIPTS.items()}
SAME = set("now_is section_variables variable no".split())
"""That are the same in both languages."""


def test_both_languages_say_the_same() -> None:
    assert list(EN) == list(ES)
    for key in EN:
        assert sorted(re.findall(r"\{\w+\}", EN[key])) == sorted(re.findall(r"\{\w+\}", ES[key])), key
        assert EN[key].strip() == EN[key]
    assert {key for key in EN if EN[key] == ES[key]} == SAME
    counted = {key.rpartition(".")[0] for key in EN if "." in key}
    assert {f"{key}.{number}" for key in counted for number in ("one", "other")} == {key for key in EN if "." in key}


def test_every_word_is_there_and_is_used() -> None:
    known, code = {key.partition(".")[0] for key in EN}, "\n".join(CODE.values())
    literals = set(re.findall(r'"([\w-]+)"', code))
    families = (*re.findall(r"`(\w+_)\$\{", code), "state_")
    endings = tuple(re.findall(r"`\$\{\w+\}(_\w+)`", code))
    assert set(re.findall(r'\bt\(\s*"([^"]+)"', code)) <= known
    assert {key for key in known - literals if not key.startswith(families) and not key.endswith(endings)} == set()


@pytest.mark.parametrize("name", CODE)
def test_scripts_write_text_only_and_words_of_the_tables_only(name: str) -> None:
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextual|\beval\b", CODE[name]
    )
    sentences = [text for text in re.findall(r'"([^"\n]*)"', CODE[name]) if re.search(r"[A-Z][a-z]+ [a-z]+", text)]
    assert sentences == []


def test_every_script_is_on_the_page() -> None:
    assert {f"{name}.js" for name in app.web.page.SCRIPTS} == set(SCRIPTS)
    head = app.web.page.mount_arguments()["head"]
    assert all(text in head for text in SCRIPTS.values())
    assert "</script" not in "".join(SCRIPTS.values()).lower()
    assert not re.search(r"https?://(?!www\.w3\.org)", head)
    assert "@import" not in head
    assert {path.stem for path in app.web.page.STATIC.glob("*.css")} == set(app.web.page.STYLES)
