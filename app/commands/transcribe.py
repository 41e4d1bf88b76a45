"""The arguments of `transcribe`."""

from __future__ import annotations

import argparse
import os
import re
from typing import TYPE_CHECKING

from app.commands import argument, need
from app.errors import UsageError
from app.settings import BEAM_SIZE, COMPUTE_TYPES, DEVICES, MOST_THREADS, at_least, one_of, positive, read_settings
from app.subtitles import SubtitleStyle
from launcher.cli import say

if TYPE_CHECKING:
    from app.commands import Commands

FORMATS = ("txt", "srt", "vtt", "tsv", "json", "md")
DEFAULT_FORMATS = ("txt", "srt", "json")
ENGINES = ("faster-whisper", "whisperx")
VADS = ("silero", "pyannote")


_THREADS = f"CPU threads (default: OMP_NUM_THREADS, or the cores, at most {MOST_THREADS})"


def add(commands: Commands) -> None:
    """Declare it."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "transcribe",
        help="write what is said in audio and video files",
        description="Write what is said in audio and video files. With one input the transcript goes to stdout too.",
        epilog="The defaults marked * come from the profile: run-app --profile NAME --print shows them. "
        "Exit codes: 0 all done, 1 some files failed, 2 wrong usage, 130 interrupted.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("inputs", nargs="*", metavar="INPUT", help="files FFmpeg can read, folders of such, or their URLs")
    add("--sample", action="store_true", help="a packaged telephone talk of 30 s, besides any INPUT")
    add(
        "-o",
        "--output-dir",
        default=".",
        metavar="DIR",
        help="where outputs go: a folder, or its URL (default: here)",
    )
    add(
        "-f",
        "--format",
        type=_formats,
        default=DEFAULT_FORMATS,
        metavar="LIST",
        help=f"of {','.join(FORMATS)} (default: {','.join(DEFAULT_FORMATS)})",
    )
    add(
        "--model",
        metavar="MODEL",
        help="tiny.en, base (packaged), a hub name as large-v3, or a model's folder *",
    )
    add("--asr", choices=ENGINES, default=ENGINES[0], help="recogniser (default: %(default)s)")
    add(
        "--vad",
        choices=VADS,
        help="speech detector (default: silero with faster-whisper, pyannote with whisperx)",
    )
    add("--language", type=str.lower, metavar="CODE", help="as en, es, ja (default: detected)")
    add("--translate", action="store_true", help="into English")
    add("--prompt", metavar="TEXT", help="what is said to have come before: names, spelling, style")
    add("--hotwords", metavar="WORDS", help="words to expect")
    add(
        "--beam-size",
        type=argument(positive),
        default=BEAM_SIZE,
        metavar="N",
        help="ways the recogniser follows at once (default: %(default)s)",
    )
    add(
        "--align-model",
        default="auto",
        metavar="MODEL",
        help="wav2vec2 model for the word times: a folder, a hub name or a torchaudio bundle "
        "(default: the language's usual one if it is on this machine; else the recogniser's own times)",
    )
    who = parser.add_argument_group("who speaks", "Any of these asks for speakers.")
    who.add_argument("--diarize", action="store_true", help="tell speakers apart")
    who.add_argument("--speakers", type=argument(positive), metavar="N", help="exactly so many")
    who.add_argument("--min-speakers", type=argument(positive), metavar="N", help="at least so many")
    who.add_argument("--max-speakers", type=argument(positive), metavar="N", help="at most so many")
    who.add_argument("--names", type=_names, metavar="A,B", help="their names, in the order they first speak")
    who.add_argument(
        "--diarizer",
        metavar="MODEL",
        help="community-1, embedded, or a folder with a pyannote pipeline "
        "(default: community-1 with a token or from this machine, else embedded)",
    )
    lines = parser.add_argument_group("subtitles", "How srt and vtt are set.")
    lines.add_argument(
        "--max-line-width",
        type=argument(at_least(10)),
        default=SubtitleStyle.max_line_width,
        metavar="N",
        help="characters in a line, wide ones of East Asia counted double (default: %(default)s)",
    )
    lines.add_argument(
        "--max-lines",
        type=argument(positive),
        default=SubtitleStyle.max_lines,
        metavar="N",
        help="on the screen together (default: %(default)s)",
    )
    lines.add_argument(
        "--max-cps",
        type=argument(positive),
        default=round(SubtitleStyle.max_cps),
        metavar="N",
        help="characters to read in a second; after faster speech a subtitle stays on as long as there is room "
        "(default: %(default)s)",
    )
    how = parser.add_argument_group("how it is done")
    add = how.add_argument
    add("--device", type=argument(one_of(DEVICES)), metavar="DEVICE", help=f"{', '.join(DEVICES)} *")
    add(
        "--compute-type",
        type=argument(one_of(COMPUTE_TYPES)),
        metavar="TYPE",
        help="as float16, int8; or auto *",
    )
    add(
        "--batch-size",
        type=argument(positive),
        metavar="N",
        help="chunks of 30 s decoded together, on a processor at most one a thread *",
    )
    add(
        "--threads",
        type=argument(positive),
        metavar="N",
        help=_THREADS,
    )
    add(
        "--jobs",
        type=argument(positive),
        metavar="N",
        help="files recognised at once, by one model (default: as many as it has workers on a processor, 1 on a card)",
    )
    add(
        "--workers",
        type=argument(positive),
        metavar="N",
        help="processes side by side, each with models of its own (default: 1; on Ray as memory and cards allow)",
    )
    add("--engine", choices=("local", "ray"), default="local", help="where they run (default: local)")
    add("--address", metavar="HOST:PORT", help="of a Ray that is there, or auto (default: its own, on this machine)")
    resident = "keep every model loaded from its first use on, or only one at a time *"
    add("--resident", action=argparse.BooleanOptionalAction, help=resident)
    add("--offline", action="store_true", help="ask no network; models must be on this machine")


def _formats(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in FORMATS:
            raise argparse.ArgumentTypeError(f"unknown format {name!r}, choose from {', '.join(FORMATS)}")
    return names


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r}: a name is empty; write Ann,Bob")
    if any(re.fullmatch(r"SPEAKER_\d+", name) for name in names):
        raise argparse.ArgumentTypeError(f"{text!r}: SPEAKER_00 and so on are the names of those who have none")
    if len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r}: a name comes twice")
    return names


def _check_speakers(options: argparse.Namespace) -> None:
    least, most = options.min_speakers, options.max_speakers
    if options.speakers and (least or most):
        raise UsageError("--speakers says exactly how many; leave out --min-speakers and --max-speakers")
    if least and most and least > most:
        raise UsageError(f"--min-speakers {least} is more than --max-speakers {most}")


def run(options: argparse.Namespace) -> int:
    """Do it."""
    need("transcribe", "asr", "faster_whisper", "av", "rich", "psutil")
    _check_speakers(options)
    diarize = any((options.diarize, options.speakers, options.min_speakers, options.max_speakers))
    diarize = diarize or bool(options.names or options.diarizer)
    if diarize:
        need("telling speakers apart", "app", "torch", "pyannote.audio")
    if options.align_model != "auto":
        need("alignment", "app", "torch", "whisperx")
    if options.asr == "whisperx" or options.vad == "pyannote":
        need("this engine or VAD", "app", "torch", "whisperx", "silero_vad")
    from dataclasses import replace

    from app.inputs import collect, sample
    from app.remote import located
    from app.request import Request
    from app.stages.diarize import Speakers
    from app.transcribe import transcribe

    settings = read_settings(os.environ)
    flags = {
        name: getattr(options, name)
        for name in ("model", "device", "compute_type", "batch_size", "threads", "resident")
    }
    given = {name: value for name, value in flags.items() if value is not None}
    settings = replace(settings, **given)
    if options.address and options.engine != "ray":
        raise UsageError("--address is Ray's: say --engine ray as well")
    arguments = [sample()] if options.sample else []
    output_folder = located(options.output_dir)
    inputs, errors = collect([*arguments, *options.inputs], say)
    if not inputs and not errors:
        raise UsageError("nothing to transcribe: name a file or a folder, or try --sample")
    for error in errors:
        say(str(error))
    if not inputs:
        return 1
    if (options.jobs or 1) > 1 and options.asr != "faster-whisper":
        raise UsageError(f"--jobs {options.jobs}: {options.asr} takes one file at a time; leave out --asr or --jobs")
    vad = options.vad or ("pyannote" if options.asr == "whisperx" else "silero")
    request = Request(
        inputs,
        output_folder,
        options.format,
        settings,
        options.asr,
        vad,
        options.language,
        options.offline,
        task="translate" if options.translate else "transcribe",
        beam_size=options.beam_size,
        prompt=options.prompt,
        hotwords=options.hotwords,
        align_model=options.align_model,
        diarizer=(options.diarizer or "auto") if diarize else None,
        speakers=Speakers(options.speakers, options.min_speakers, options.max_speakers),
        names=options.names or (),
        jobs=options.jobs,
        subtitles=SubtitleStyle(options.max_line_width, options.max_lines, options.max_cps),
        engine=options.engine,
        address=options.address,
        workers=options.workers,
        given=given,
    )
    return transcribe(request) or (1 if errors else 0)
