from app.text import plain
from app.transcript import Transcript


def to_tsv(transcript: Transcript) -> str:
    """A segment a row, in the columns of Whisper's own: start and end in milliseconds, and the text, unquoted; then
    the speaker, if speakers were told apart.
    """
    speakers = any(segment.speaker for segment in transcript.segments)
    rows = [("start", "end", "text", "speaker")]
    rows += (
        (str(round(s.start * 1000)), str(round(s.end * 1000)), plain(s.text), plain(s.speaker or ""))
        for s in transcript.segments
    )
    return "".join("\t".join(row if speakers else row[:3]) + "\n" for row in rows)
