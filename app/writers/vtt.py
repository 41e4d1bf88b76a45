from app.subtitles import Cue, SubtitleStyle, cues
from app.text import plain
from app.transcript import Transcript
from app.writers.clock import timestamp


def to_vtt(transcript: Transcript, style: SubtitleStyle) -> str:
    """WebVTT: a speaker's cues are voice spans, `<v Ann>`, which a page can style; the notes are comments."""
    blocks = ["WEBVTT"]
    blocks += (f"NOTE {plain(note).replace('-->', '->')}" for note in transcript.notes)
    blocks += (
        f"{timestamp(cue.start, '.')} --> {timestamp(cue.end, '.')}\n{_text(cue)}" for cue in cues(transcript, style)
    )
    return "\n\n".join(blocks) + "\n"


def _text(cue: Cue) -> str:
    text = _escaped("\n".join(cue.lines))
    return f"<v {_escaped(plain(cue.speaker))}>{text}" if cue.speaker else text


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
