from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.emilia.ledger import MOST_TRIES, Ledger
from app.emilia.plan import redone, shapes_of_the_pure
from app.emilia.settings import EmiliaSettings
from app.emilia.sources import Shard, Source
from app.errors import UsageError


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "out")
    made.make()
    return made


def test_two_whole_runs_do_not_share_a_folder_and_shards_do(ledger: Ledger, tmp_path: Path) -> None:
    other = Ledger(tmp_path / "out")

    with ledger.locked(None), pytest.raises(UsageError, match="another run is at work here"), other.locked(None):
        pass
    with ledger.locked(Shard(1, 2)):
        with other.locked(Shard(2, 2)):
            pass
        with pytest.raises(UsageError, match="shard 1/2"), other.locked(Shard(1, 2)):
            pass
        with pytest.raises(UsageError, match="another run"), other.locked(None):
            pass
    with other.locked(None):
        pass


def test_a_result_is_there_for_who_comes_later_and_forgets_the_failures_before(ledger: Ledger, tmp_path: Path) -> None:
    ledger.count_try("key", "died")
    assert ledger.tries("key").number == 1

    ledger.finish("key", {"samples": 3})

    later = Ledger(tmp_path / "out")
    assert later.is_done("key")
    assert later.result("key") == {"samples": 3}
    assert later.tries("key").number == 0
    later.reopen("key")
    assert not ledger.is_done("key")


def test_three_failures_are_the_end_until_somebody_asks_for_more(ledger: Ledger) -> None:
    over = [ledger.count_try("key", f"reason {n}").over for n in range(1, MOST_TRIES + 1)]

    assert over == [False, False, True]
    assert ledger.tries("key").reason == "reason 3"
    assert ledger.count_try("corrupt", "no sound", last=True).over
    ledger.forget_tries("key")
    assert not ledger.tries("key").over
    assert ledger.tries("corrupt").over
    ledger.forget_tries("corrupt")
    assert not ledger.tries("corrupt").over


def test_a_recording_is_read_again_only_where_it_changed(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"one")
    source = Source("a", path, "a.wav")
    first = ledger.content(source)
    ledger.keep_contents()

    os.utime(path, ns=(0, 5))
    path.write_bytes(b"two")
    assert ledger.content(source) != first
    path.write_bytes(b"one")
    assert ledger.content(source) == first


def test_a_result_that_the_disk_has_lost_is_not_there(ledger: Ledger) -> None:
    ledger.finish("key", [1])
    (ledger.folder / "done" / "key.json").write_bytes(b"\0\0")

    assert ledger.result("key") is None


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")

    with pytest.raises(UsageError, match="can't write there"):
        Ledger(tmp_path / "out").make()


def shapes(**changes: object) -> dict[str, object]:
    named = {
        "standardise": {"version": 1},
        "diarize": {"kind": "embedded"},
        "vad": {"onset": 0.5},
        "asr": {"model": "a"},
    }
    rest = {"score": {"model": "b"}, "export": {"format": "mp3"}}
    return {**named, **rest, **shapes_of_the_pure(EmiliaSettings()), **changes}


def test_a_changed_threshold_redoes_only_what_depends_on_it() -> None:
    filtered = shapes_of_the_pure(EmiliaSettings(dnsmos_min=3.2))
    cut = shapes_of_the_pure(EmiliaSettings(merge_gap_s=1.0))

    assert redone(shapes(), shapes()) == ([], [])
    assert redone(shapes(), shapes(filter=filtered["filter"])) == (["dnsmos_min: 3.0, now 3.2"], ["export"])
    assert redone(shapes(), shapes(cut=cut["cut"])) == (["merge_gap_s: 2.0, now 1.0"], ["asr", "score", "export"])
    assert redone(shapes(), shapes(asr={"model": "c"})) == (["asr model: a, now c"], ["asr", "export"])
    assert redone(shapes(), shapes(vad={"onset": 0.6}))[1] == ["vad", "asr", "score", "export"]
    new = shapes(separate={"model": "s"})
    assert redone(shapes(), new) == (
        ["separate model: none, now s"],
        ["separate", "diarize", "vad", "asr", "score", "export"],
    )


def test_what_killed_workers_left_unfinished_goes_and_nothing_else(ledger: Ledger, tmp_path: Path) -> None:
    ledger.finish("key", [1])
    ledger.audio("key").write_bytes(b"sound")
    (ledger.folder / "audio" / ".other.7.part").mkdir()
    for half in ("audio/.key.7.part.flac", "done/.run-app-a", "tries/.run-app-b", ".run-app-c", "../.run-app-d"):
        (ledger.folder / half).write_bytes(b"half")

    ledger.remove_parts()

    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {f"out/.run-app-emilia/{name}" for name in ("done/key.json", "audio/key.flac")}
    assert not (ledger.folder / "audio" / ".other.7.part").exists()
