"""The formats a transcript is written in: pure functions from a transcript to the file's text."""

from collections.abc import Callable

from app.subtitles import SubtitleStyle
from app.transcript import Transcript
from app.writers.md import to_md
from app.writers.srt import to_srt
from app.writers.tsv import to_tsv
from app.writers.txt import to_txt
from app.writers.vtt import to_vtt
from app.writers.whisperx_json import to_json

Writer = Callable[[Transcript, SubtitleStyle], str]


def _unstyled(write: Callable[[Transcript], str]) -> Writer:
    return lambda transcript, style: write(transcript)


WRITERS: dict[str, Writer] = {
    "txt": _unstyled(to_txt),
    "srt": to_srt,
    "vtt": to_vtt,
    "tsv": _unstyled(to_tsv),
    "json": _unstyled(to_json),
    "md": _unstyled(to_md),
}
SUBTITLES = frozenset(("srt", "vtt"))
"""Those that are set in lines, and timed to be read."""
