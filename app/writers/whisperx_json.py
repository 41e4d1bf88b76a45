import dataclasses
import json

from app.transcript import Transcript


def to_json(transcript: Transcript) -> str:
    """The layout of whisperX's own JSON, so that other tools read it, and what it lacks beside:
    the language's probability, the duration and the notes.
    """
    return json.dumps(dataclasses.asdict(transcript), ensure_ascii=False, indent=1) + "\n"
