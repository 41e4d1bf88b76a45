from app.subtitles import SubtitleStyle, cues
from app.transcript import Transcript
from app.writers.clock import timestamp


def to_srt(transcript: Transcript, style: SubtitleStyle) -> str:
    """SubRip: numbered cues, `00:00:06,690 --> 00:00:07,120`, a blank line after each. The format knows no speakers:
    a name stands in the text, where a turn begins.
    """
    return "".join(
        f"{number}\n{timestamp(cue.start, ',')} --> {timestamp(cue.end, ',')}\n{_text(cue.lines)}\n\n"
        for number, cue in enumerate(cues(transcript, style, named=True), 1)
    )


def _text(lines: tuple[str, ...]) -> str:
    return "\n".join(lines).replace("-->", "->")  # the format has no escape for it
