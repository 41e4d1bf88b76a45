from app.transcript import Transcript


def to_srt(transcript: Transcript) -> str:
    """SubRip: numbered cues, `00:00:06,690 --> 00:00:07,120`, a blank line after each."""
    return "".join(
        f"{number}\n{_clock(segment.start)} --> {_clock(segment.end)}\n{segment.said}\n\n"
        for number, segment in enumerate(transcript.segments, 1)
    )


def _clock(seconds: float) -> str:
    milliseconds = round(max(seconds, 0.0) * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02},{milliseconds % 1000:03}"
