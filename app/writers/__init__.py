"""The formats a transcript is written in: pure functions from a transcript to the file's text."""

from collections.abc import Callable

from app.transcript import Transcript
from app.writers.srt import to_srt
from app.writers.txt import to_txt
from app.writers.whisperx_json import to_json

WRITERS: dict[str, Callable[[Transcript], str]] = {"txt": to_txt, "srt": to_srt, "json": to_json}
