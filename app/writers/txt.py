from app.transcript import Transcript


def to_txt(transcript: Transcript) -> str:
    """A segment a line."""
    return transcript.text
