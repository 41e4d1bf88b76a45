import dataclasses
import json
from typing import Any

from app.transcript import Transcript


def to_json(transcript: Transcript) -> str:
    """The layout of whisperX's own JSON, so that other tools read it, and what it lacks beside: the language's
    probability, the duration, the notes, and how it was recognised. Without diarization nothing has a `speaker`.
    """
    data = dataclasses.asdict(transcript)
    for segment in data["segments"]:
        _drop_nobody(segment)
        for word in segment["words"]:
            _drop_nobody(word)
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


def _drop_nobody(spoken: dict[str, Any]) -> None:
    if spoken["speaker"] is None:
        del spoken["speaker"]
