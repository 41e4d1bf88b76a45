"""The worker of `verify --startup`: it loads each model as the app's own worker does, and works on no file.

Started as app.worker is, with the same arguments.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from app.messages import Job, Loaded, Message, Released
from app.stages import Work
from app.worker import serve

HOLD_S = 0.25
"""After each change the memory stays as it is for so long: the front looks at it 20 times a second."""


def load_in_turn(job: Job, tell: Callable[[Message], None]) -> None:
    from app import pipeline
    from app.artefacts import Artefacts
    from app.events import EventLog
    from app.store import state_folder

    def tell_and_hold(message: Message) -> None:
        tell(message)
        if isinstance(message, Loaded | Released):
            time.sleep(HOLD_S)

    artefacts = Artefacts(state_folder("artefacts"))
    for stage in pipeline.rehearse(job, tell_and_hold, artefacts, EventLog(state_folder("artefacts").parent)):
        if stage.name == "align" and job.aligner:
            begin = time.perf_counter()
            # Only a file's language says which of its models to load: so it is shown a word of that language.
            model = job.aligner.models[0]
            stage.run(_a_word(model.language or "en"), lambda *_: None)
            tell_and_hold(Loaded(stage.name, model.name, time.perf_counter() - begin))


def _a_word(language: str) -> Work:
    import numpy as np

    from app.audio import SAMPLE_RATE
    from app.transcript import Segment, Transcript, Word

    segment = Segment(0.0, 1.0, "a", (Word(0.0, 1.0, "a", 1.0),))
    waveform = np.zeros(SAMPLE_RATE, np.float32)
    return Work(Path("a.wav"), waveform, 1.0, transcript=Transcript(language, 1.0, 1.0, (segment,)))


if __name__ == "__main__":
    raise SystemExit(serve(load_in_turn))
