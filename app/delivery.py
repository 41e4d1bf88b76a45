"""The command's front: transcripts on their way out, into files and to stdout, and what is said beside."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from app.display import Display
from app.errors import UsageError, WorkError
from app.inputs import Input
from app.outputs import Outcome, Outputs
from app.remote import Location, exists, shown
from app.subtitles import SubtitleStyle, cues, too_fast
from app.transcript import Transcript
from app.writers import SUBTITLES, WRITERS


@dataclass
class Delivery:
    """Where the transcripts of one command go. It is the Front of a Runner."""

    folder: Location
    formats: tuple[str, ...]
    outputs: Outputs
    display: Display
    style: SubtitleStyle
    to_stdout: bool
    several: bool = False
    """Workers side by side: what is shown of their work goes on when a file is done."""

    def say(self, line: str, style: str | None = None) -> None:
        self.display.say(line, style)

    def step(self, stage: str, what: str = "") -> None:
        self.display.step(stage, what)

    def advance(self, done: float, total: float, unit: str) -> None:
        self.display.advance(done, total, unit)

    def failed(self, item: Input, reason: str) -> None:
        self.display.say(reason, "red")

    def first(self, item: Input, transcript: Transcript) -> None:
        """The plain transcript, as soon as there is one, where nothing is there yet that it could spoil."""
        places = item.outputs(self.folder, self.formats)
        try:
            absent = {form: place for form, place in places.items() if not _is_there(place)}
            for form, place in absent.items():
                self.outputs.write(place, WRITERS[form](transcript, self.style))
        except (OSError, UsageError, WorkError):
            return  # said when the whole is written
        if absent:
            self.display.say(f"wrote {_joined(absent.values())} (more to come)")

    def final(self, item: Input, transcript: Transcript) -> bool:
        """The whole transcript; False, and said, where it can't be written."""
        if not self.several:
            self.display.end()
        for note in transcript.notes:
            self.display.say(f"{item.shown}: {note}", "yellow")
        outcomes: dict[Outcome, list[Location]] = {}
        for form, place in item.outputs(self.folder, self.formats).items():
            try:
                written = self.outputs.write(place, WRITERS[form](transcript, self.style), self._warn)
            except (OSError, UsageError, WorkError) as error:
                reason = f"{place}: can't be written ({error.strerror})" if isinstance(error, OSError) else str(error)
                self.display.say(reason, "red")
                _print(transcript, self.display)  # nowhere else to keep it
                return False
            outcomes.setdefault(written.outcome, []).append(place)
            if written.backup:
                kept = f"not, or no longer, as run-app wrote it; kept as {shown(written.backup)}"
                self.display.say(f"{shown(place)}: {kept}", "yellow")
        for outcome, places in outcomes.items():
            style = "yellow" if outcome is Outcome.EDIT_KEPT else None
            self.display.say(outcome.value.format(_joined(places)), style)
        if SUBTITLES.intersection(self.formats):
            self._say_speed(item, transcript)
        if self.to_stdout:
            _print(transcript, self.display)
        return True

    def _warn(self, line: str) -> None:
        self.display.say(line, "yellow")

    def _say_speed(self, item: Input, transcript: Transcript) -> None:
        whole = cues(transcript, self.style)
        if fast := too_fast(whole, self.style):
            bound = f"{self.style.max_cps:g} characters a second"
            self.display.say(f"{item.name}: {fast} of {len(whole)} subtitles faster than {bound}, as the speech is")


def _is_there(place: Location) -> bool:
    return place.exists() if isinstance(place, Path) else exists(place)


def _joined(places: Iterable[Location]) -> str:
    return " ".join(shown(place) for place in places)


def _print(transcript: Transcript, display: Display) -> None:
    """The transcript itself goes to stdout: read it, or pipe it on. What becomes of that costs no file."""
    if not isinstance(sys.stdout, io.TextIOWrapper):
        return  # closed by whoever started us
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        for segment in transcript.segments:
            print(f"[{_clock(segment.start)} - {_clock(segment.end)}] {segment.said}")
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer would fail once more when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            display.say(f"stdout can't be written ({error.strerror})", "red")


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(seconds, 60)
    return f"{int(minutes):02}:{seconds:05.2f}"
