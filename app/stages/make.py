"""Which stages a job takes, and with what options. Their modules are imported only if it takes them."""

from __future__ import annotations

from app.messages import Job
from app.stages import Stage

DIARIZE_BATCH = 32
"""Windows of 10 s that diarization looks at together: its peak on a card goes with it (pyannote-audio#1963)."""


def make_stages(job: Job) -> list[Stage]:
    """All stages in order, nothing loaded yet."""
    from app.stages.asr import AsrOptions
    from app.stages.decode import Decode
    from app.stages.vad import make_vad

    options = AsrOptions(
        model=job.model,
        name=job.model_name,
        device=job.device,
        compute_type=job.compute_type,
        batch_size=job.batch_size,
        threads=job.threads,
        language=job.language,
        task=job.task,
        beam_size=job.beam_size,
        prompt=job.prompt,
        hotwords=job.hotwords,
        jobs=job.jobs,
    )
    asr: Stage
    if job.asr == "whisperx":
        from app.stages.asr_whisperx import WhisperX

        asr = WhisperX(options)
    else:
        from app.stages.asr_faster_whisper import FasterWhisper

        asr = FasterWhisper(options)
    stages: list[Stage] = [
        Decode(job.longest_s),
        make_vad(job.vad, asr=job.asr, device=job.device, threads=job.threads),
        asr,
    ]
    if job.aligner:
        from app.stages.align import Align

        stages.append(Align(job.aligner, job.device, job.threads))
    if job.diarizer:
        from app.stages.diarize import Diarize

        stages.append(Diarize(job.diarizer, job.device, job.threads, DIARIZE_BATCH, job.speakers))
    return stages
