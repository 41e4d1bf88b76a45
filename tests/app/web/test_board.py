"""What the page may do with jobs on the disk; nothing here needs a worker."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

from app.errors import UsageError
from app.settings import Settings
from app.web.board import Board
from app.web.jobs import JobStore
from app.web.lane import Lane
from app.web.options import Options
from tests.app.talks import said, transcript

TALK = transcript(said("hello there", speaker="SPEAKER_00"), said("well hello", at=2, speaker="SPEAKER_01"))


class Shelf:
    """A store and its board; the lane is never started."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.store = folder, JobStore(folder)
        self.board = Board(self.store, Lane(self.store, Settings(), idle_unload_s=1))

    def add(self, *names: str, visitor: str = "", **options: object) -> str:
        uploads = []
        for number, name in enumerate(names):
            path = self.folder.parent / f"upload-{number}"
            path.write_text(name)
            uploads.append((name, path))
        return self.board.submit(visitor, uploads, Options.from_dict(options))

    def finish(self, id: str) -> None:
        """As the lane does."""
        job = self.store.find(id)
        for index, each in enumerate(job.files):
            self.store.save_transcript(job, index, TALK)
            each.state = "done"
        job.state = "done"
        self.store.save(job)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "jobs")


def test_a_job_is_found_again_as_it_was(shelf: Shelf) -> None:
    ids = [shelf.add("a.wav", "b.mp3", language="es", names="Ann,Bob", formats="srt"), shelf.add("c.wav")]
    shelf.finish(ids[0])
    before = shelf.board.jobs("")

    again = Shelf(shelf.folder)

    assert again.board.jobs("") == before
    assert [job.id for job in again.board.jobs("")] == ids[::-1], "the newest first"
    assert again.board.job("", ids[0]).options == Options(language="es", names=("Ann", "Bob"), formats=("srt",))
    assert again.store.next() == again.board.job("", ids[1])
    assert again.add("d.wav") > ids[1], "numbers go on"


def test_what_a_crash_cut_short_is_no_job(shelf: Shelf) -> None:
    id = shelf.add("a.wav")
    (shelf.folder / id / "job.json").rename(shelf.folder / ".run-app-cut")
    whole = shelf.add("b.wav")
    (shelf.folder / ".run-app-part").mkdir()
    (shelf.folder / whole / "state.json").write_text('{"state": "do')

    again = Shelf(shelf.folder)

    assert again.board.jobs("") == []
    assert not (shelf.folder / ".run-app-part").exists()
    assert (shelf.folder / whole / "000.wav").exists(), "what is damaged is left for a person to look at"


@pytest.mark.parametrize(
    ("name", "file", "shown"),
    [
        ("../../etc/passwd", "000", "passwd"),
        ("C:\\talks\\a.WAV", "000.wav", "a.WAV"),
        ("/tmp/x.mp3", "000.mp3", "x.mp3"),
        ("a.wav/", "000.wav", "recording"),
        ("..", "000", ".."),
        ("a\x00\nb.flac", "000.flac", "a  b.flac"),
        ("a.wav.exe", "000", "a.wav.exe"),
        ("é" * 5000 + ".wav", "000.wav", "é" * 100),
        ("\udcff.wav", "000.wav", "?.wav"),
    ],
)
def test_a_name_never_becomes_a_path(shelf: Shelf, name: str, file: str, shown: str) -> None:
    path = shelf.folder.parent / "upload"
    path.write_text("x")
    id = shelf.board.submit("", [(name, path)], Options())

    (recording,) = shelf.board.job("", id).files

    assert (recording.file, recording.name) == (file, shown)
    assert sorted(each.name for each in (shelf.folder / id).iterdir()) == [file, "job.json"]
    json.dumps(recording.name).encode()
    assert Shelf(shelf.folder).board.job("", id).files == [recording]


def test_corrections_are_in_the_lines_the_files_and_the_zip(shelf: Shelf) -> None:
    id = shelf.add("talk.wav", formats="srt,txt")
    shelf.finish(id)

    shelf.board.rename("", id, 0, "SPEAKER_00", "  Ann  Lee ")
    shelf.board.correct("", id, 0, 1, "well, hallo")

    lines = Shelf(shelf.folder).board.lines("", id, 0)
    assert [(line["name"], line["text"], line["edited"]) for line in lines] == [
        ("Ann Lee", "hello there", False),
        ("SPEAKER_01", "well, hallo", True),
    ]
    assert [line["speaker"] for line in lines] == ["SPEAKER_00", "SPEAKER_01"]
    name, text = shelf.board.download("", id, 0, "txt")
    assert name == "talk.txt"
    assert "Ann Lee: hello there" in text
    assert "well, hallo" in text
    name, content = shelf.board.zip("", id)
    assert name == "talk.zip"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert sorted(archive.namelist()) == ["talk.srt", "talk.txt"]
        assert archive.read("talk.txt").decode() == text


def test_names_in_a_zip_are_distinct(shelf: Shelf) -> None:
    id = shelf.add("a.wav", "A.mp3", "b.wav", "a.mp3", "a.mp3 (2).wav", formats="txt")
    shelf.finish(id)

    _, content = shelf.board.zip("", id)

    names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    assert len({name.casefold() for name in names}) == 5
    assert {"a.wav.txt", "b.txt"} < set(names)


def test_a_job_that_was_ended_early_gives_what_it_has_under_another_name(shelf: Shelf) -> None:
    id = shelf.add("a.wav", formats="txt")
    job = shelf.store.find(id)
    shelf.store.save_transcript(job, 0, TALK)
    with pytest.raises(UsageError, match="still being worked on"):
        shelf.board.download("", id, 0, "txt")

    job.state = "cancelled"
    shelf.store.save(job)

    assert shelf.board.download("", id, 0, "txt")[0] == "a.partial.txt"


def test_a_job_under_way_gives_what_is_done(shelf: Shelf) -> None:
    id = shelf.add("a.wav", "b.wav", formats="txt")
    job = shelf.store.find(id)
    job.state, job.files[0].state, job.files[1].state = "running", "done", "running"
    shelf.store.save(job)
    for index in (0, 1):
        shelf.store.save_transcript(job, index, TALK)

    assert shelf.board.download("", id, 0, "txt")[0] == "a.txt"
    _, content = shelf.board.zip("", id)
    assert zipfile.ZipFile(io.BytesIO(content)).namelist() == ["a.txt"]


def test_a_recording_named_twice_is_taken_twice_and_none_is_lost_where_one_is_missing(shelf: Shelf) -> None:
    upload = shelf.folder.parent / "upload"
    upload.write_text("sound")
    with pytest.raises(OSError, match="No such file"):
        shelf.board.submit("", [("a.wav", upload), ("b.wav", shelf.folder / "none")], Options())
    assert upload.read_text() == "sound"

    id = shelf.board.submit("", [("a.wav", upload), ("a.wav", upload)], Options())

    assert [shelf.board.media("", id, index).read_text() for index in range(2)] == ["sound", "sound"]
    assert not upload.exists()


def test_a_job_of_another_version_keeps_nobody_out(shelf: Shelf, capfd: pytest.CaptureFixture[str]) -> None:
    ids = [shelf.add("a.wav"), shelf.add("b.wav"), shelf.add("c.wav")]
    for id, old, new in ((ids[0], '"model": ""', '"model": "gone"'), (ids[1], '"prompt"', '"unknown"')):
        file = shelf.folder / id / "job.json"
        file.write_text(file.read_text().replace(old, new))
    (shelf.folder / ids[2] / "state.json").write_text('"x"')

    again = Shelf(shelf.folder)

    assert [job.id for job in again.board.jobs("")] == [ids[0]]
    assert again.board.job("", ids[0]).options.model == "gone"
    said = capfd.readouterr().err
    assert ids[1] in said
    assert ids[2] in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda board, id: board.rename("", id, 0, "SPEAKER_07", "Ann"), "no such speaker"),
        (lambda board, id: board.rename("", id, 0, "SPEAKER_00", " "), "1 to 80"),
        (lambda board, id: board.rename("", id, 0, "SPEAKER_00", "SPEAKER_01"), "have none"),
        (lambda board, id: board.rename("", id, 1, "SPEAKER_00", "Ann"), "no such file"),
        (lambda board, id: board.rename("", id, -1, "SPEAKER_00", "Ann"), "no such file"),
        (lambda board, id: board.correct("", id, 0, 2, "x"), "no such line"),
        (lambda board, id: board.correct("", id, 0, -1, "x"), "no such line"),
        (lambda board, id: board.correct("", id, 0, 0, "x" * 6000), "5000"),
        (lambda board, id: board.correct("", id, 0, 0, "\ud800"), "no character"),
        (lambda board, id: board.download("", id, 0, "exe"), "must be one of"),
        (lambda board, id: board.submit("", [], Options()), "no recording"),
    ],
)
def test_what_can_not_be_is_said(shelf: Shelf, change: object, said: str) -> None:
    id = shelf.add("a.wav")
    shelf.finish(id)

    with pytest.raises(UsageError, match=said):
        change(shelf.board, id)  # type: ignore[operator]


def test_a_job_under_way_is_not_corrected(shelf: Shelf) -> None:
    id = shelf.add("a.wav")
    shelf.store.save_transcript(shelf.store.find(id), 0, TALK)

    with pytest.raises(UsageError, match="still being worked on"):
        shelf.board.correct("", id, 0, 0, "x")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model": "/etc"}, "model: must be one of tiny.en"),
        ({"model": "someone/else"}, "model: must be one of"),
        ({"language": "english"}, "language: must be one of"),
        ({"speakers": 0}, "from 1 to 50"),
        ({"speakers": True}, "from 1 to 50"),
        ({"speakers": 2.5}, "from 1 to 50"),
        ({"speakers": "2"}, "from 1 to 50"),
        ({"min_speakers": 3, "max_speakers": 2}, "more than max_speakers"),
        ({"speakers": 2, "max_speakers": 2}, "exactly how many"),
        ({"diarize": "yes"}, "true or false"),
        ({"names": "Ann,Ann"}, "twice"),
        ({"names": ["Ann", 3]}, "1 to 80"),
        ({"formats": "srt,exe"}, "formats: must be one of"),
        ({"prompt": "x" * 3000}, "at most 2000"),
        ({"prompt": "\ud800"}, "no character"),
        ({"names": "\ud800"}, "1 to 80"),
        ({"hotwords": ["x"]}, "must be a text"),
        ({"__class__": "x"}, "unknown option '__class__'"),
        ({"model": ["base"]}, "model: must be one of"),
        ({"speakers": float("nan")}, "from 1 to 50"),
        ({"speakers": float("inf")}, "from 1 to 50"),
    ],
)
def test_options_are_checked(given: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Options.from_dict(given)


def test_what_is_left_empty_is_the_default() -> None:
    assert Options.from_dict({"model": "", "speakers": None, "names": [], "prompt": ""}) == Options()
    assert Options.from_dict({"speakers": 2.0}).wants_speakers
