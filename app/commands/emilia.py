"""The arguments of `emilia`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from app.commands import argument, need
from app.errors import UsageError
from app.settings import COMPUTE_TYPES, DEVICES, one_of, positive, read_settings

if TYPE_CHECKING:
    from app.commands import Commands

PACKAGES = "faster_whisper av rich psutil torch pyannote.audio onnxruntime scipy speechmos pyarrow matplotlib".split()


def add(commands: Commands) -> None:
    """Declare it."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "emilia",
        help="make a speech dataset of raw recordings",
        description="From raw recordings to a speech dataset, as Emilia's pipeline does it: standardise, separate, "
        "diarize, cut, recognise, score, filter, export. The same command goes on where it was interrupted.",
        epilog="The defaults marked * come from the profile: run-app --profile NAME --print shows them. "
        "Exit codes: 0 all done, 1 some recordings failed, 2 wrong usage, 130 interrupted.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("input", metavar="IN", help="a folder, a list with one path a line, or a JSONL manifest; or the URL of one")
    add("output", metavar="OUT", help="the dataset's folder, with all that is needed to go on; or a URL, see --work")
    work = "where the dataset for a URL is made, with all that is needed to go on; a cluster has to share it"
    add("--work", type=Path, metavar="DIR", help=f"{work} (default: in ~/.local/state/run-app/emilia)")
    add("--shard", metavar="i/N", help="only this part; without --shard the same command then makes the whole")
    add("--steps", metavar="LIST", help="only these steps (default: all)")
    add("--config", type=Path, metavar="FILE", help="thresholds, in TOML: docs/emilia.md lists them")
    add("--compat", action="store_true", help="the original's choices where ours differ on purpose")
    add("--languages", metavar="LIST", help="codes that are kept, as en,es; or all (default: en,zh,de,fr,ja,ko)")
    add("--dnsmos-min", type=float, metavar="X", help="least DNSMOS OVRL (default: 3.0)")
    separation = "ONNX model of the UVR-MDX kind: a file, or a name as UVR-MDX-NET-Inst_HQ_3 (default: no such step)"
    add("--separation-model", metavar="MODEL", help=separation)
    add("--format", metavar="CODEC", help="of the segments: mp3 or flac (default: mp3)")
    add("--redo", action="store_true", help="go on in an OUT that was made with other settings")
    add("--retry", action="store_true", help="try again the recordings in quarantine")
    add("--prune", action="store_true", help="at the end, remove results that the dataset has no use for any more")
    add("--diarizer", default="auto", metavar="MODEL", help="community-1, embedded, or a folder (default: auto)")
    add("--model", metavar="MODEL", help="Whisper's name or folder *")
    add("--device", type=argument(one_of(DEVICES)), metavar="DEVICE", help=f"{', '.join(DEVICES)} *")
    add("--compute-type", type=argument(one_of(COMPUTE_TYPES)), metavar="TYPE", help="as float16, int8; or auto *")
    add("--batch-size", type=argument(positive), metavar="N", help="segments decoded together on a card *")
    add("--threads", type=argument(positive), metavar="N", help="CPU threads of all workers together *")
    add("--workers", type=argument(positive), metavar="N", help="side by side (default: as memory and cards allow)")
    add("--engine", choices=("local", "ray"), default="local", help="where workers run (default: local)")
    add("--address", metavar="HOST:PORT", help="of a Ray that is there, or auto (default: its own, on this machine)")
    resident = "one worker keeps every model for all steps, or each step's process ends with it *"
    add("--resident", action=argparse.BooleanOptionalAction, help=resident)
    add("--offline", action="store_true", help="ask no network; models must be on this machine")


def run(options: argparse.Namespace) -> int:
    """Do it."""
    need("emilia", "emilia", *PACKAGES)
    from dataclasses import replace

    from app.emilia.elsewhere import made_for
    from app.emilia.request import EmiliaRequest
    from app.emilia.run import emilia
    from app.emilia.settings import EmiliaSettings, changed, read_config
    from app.emilia.sources import find_sources, read_shard
    from app.emilia.steps import STEPS
    from app.remote import located
    from app.request import check_device

    settings = EmiliaSettings()
    if options.compat:
        settings = settings.compat()
    if options.config:
        settings = read_config(options.config, settings)
    languages = options.languages and [code.strip() for code in options.languages.split(",")]
    for name, value in (
        ("languages", languages),
        ("dnsmos_min", options.dnsmos_min),
        ("audio_format", options.format),
        ("separation_model", options.separation_model),
    ):
        if value is not None:
            settings = changed(settings, {name: value}, "the command line: ")
    steps = tuple(name.strip() for name in options.steps.split(",")) if options.steps else STEPS
    for name in steps:
        if name not in STEPS:
            raise UsageError(f"--steps: unknown step {name!r}, choose from {', '.join(STEPS)}")
    try:
        shard = read_shard(options.shard) if options.shard else None
    except ValueError as error:
        raise UsageError(f"--shard {options.shard}: {error}") from None
    app_settings = read_settings(os.environ)
    flags = {
        name: getattr(options, name)
        for name in ("model", "device", "compute_type", "batch_size", "threads", "resident")
    }
    given = {name: value for name, value in flags.items() if value is not None}
    app_settings = replace(app_settings, **given)
    if not options.address:  # else each machine of the cluster is asked
        check_device(app_settings.device)
    if options.prune and shard:
        raise UsageError("--prune looks at the whole dataset: not with --shard")
    if options.address and options.engine != "ray":
        raise UsageError("--address is Ray's: say --engine ray as well")
    output = located(options.output)
    url = output if isinstance(output, str) else None
    if options.work and not url:
        raise UsageError("--work is for an OUT that is a URL; a folder's work is done in it")
    folder = options.work or (made_for(url) if url else output)
    out = Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() would replace links by what they name
    request = EmiliaRequest(
        find_sources(located(options.input), url or out),
        out,
        shard,
        steps,
        settings,
        app_settings,
        options.diarizer,
        options.offline,
        options.workers,
        options.redo,
        options.retry,
        options.prune,
        options.engine,
        options.address,
        url,
        given,
    )
    return emilia(request)
