from app.transcript import Transcript


def to_txt(transcript: Transcript) -> str:
    """A segment a line, after its speaker's name where there is one."""
    return "".join(f"{segment.said}\n" for segment in transcript.segments)
