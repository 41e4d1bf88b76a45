from app.transcript import Transcript
from app.writers.paragraphs import paragraphs


def to_txt(transcript: Transcript) -> str:
    """A segment a line; where speakers were told apart, a turn a line, after its speaker's name."""
    speakers = any(segment.speaker for segment in transcript.segments)
    lines = paragraphs(transcript) if speakers else transcript.segments
    return "".join(f"{line.said}\n" for line in lines)
