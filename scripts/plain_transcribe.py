"""What one writes in an afternoon, for scripts/bench_transcribe: faster-whisper's batched pipeline and, with a folder
of a pyannote pipeline as the last argument, the speaker of each word. One process, nothing released.

Arguments: AUDIO OUTPUT MODEL THREADS words|no-words [PIPELINE]
"""

from __future__ import annotations

import sys
from pathlib import Path

from faster_whisper import BatchedInferencePipeline, WhisperModel
from faster_whisper.audio import decode_audio

audio, output, model, threads, words, *pipeline = sys.argv[1:]
waveform = decode_audio(audio)
whisper = BatchedInferencePipeline(WhisperModel(model, device="cpu", compute_type="int8", cpu_threads=int(threads)))
found, _ = whisper.transcribe(waveform, language="en", batch_size=8, word_timestamps=words == "words")
segments = list(found)
lines = [segment.text.strip() for segment in segments]

if pipeline:
    import torch
    from pyannote.audio import Pipeline

    torch.set_num_threads(int(threads))
    diarize = Pipeline.from_pretrained(pipeline[0])
    assert diarize is not None
    heard = diarize({"waveform": torch.from_numpy(waveform)[None], "sample_rate": 16_000})
    turns = [(turn.start, turn.end, who) for turn, _, who in heard.exclusive_speaker_diarization.itertracks(True)]
    lines = []
    for segment in segments:
        for word in segment.words or ():
            middle = (word.start + word.end) / 2
            who = next((who for start, end, who in turns if start <= middle < end), "")
            if not lines or not lines[-1].startswith(f"{who}:"):
                lines.append(f"{who}:")
            lines[-1] += word.word

Path(output).write_text("\n".join(lines))
