import re

from app.text import plain
from app.transcript import Transcript
from app.writers.paragraphs import paragraphs

_SPECIAL = re.compile(r"[\\`*_\[\]<>&~|$]")
"""What means something in the middle of a line, GitHub's additions included."""


def to_md(transcript: Transcript) -> str:
    """Markdown for reading: a paragraph a turn, with its speaker and the time it begins; then the notes."""
    blocks: list[str] = []
    for turn in paragraphs(transcript):
        who = f"**{_escaped(turn.speaker)}** " if turn.speaker else ""
        blocks.append(f"{who}[{_clock(turn.start)}] {_escaped(turn.text)}")
    blocks += (f"*Note:* {_escaped(note)}" for note in transcript.notes)
    return "\n".join(f"{block}\n" for block in blocks)


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", plain(text))


def _clock(seconds: float) -> str:
    """`00:06`, `1:02:03`."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"
