"""The segments that are kept, as files, and the recording's JSON beside them."""

from __future__ import annotations

import json
import shutil
import traceback
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from app.audio import decode
from app.emilia.settings import SAMPLE_RATE, EmiliaSettings
from app.emilia.sound import to_int16, write
from app.emilia.steps import Item, Light, Share
from app.errors import in_a_line

VERSION = 1
MARK = ".key"
"""In a recording's folder: the key of what is in it. The done-mark of an earlier export may outlive its files."""


class Export(Light):
    """Makes OUT/ID with ID.json and ID_000000.mp3 and so on: whole, or as it was before.

    `given` is [{"start", "end" (samples), "speaker", "text", "language", "dnsmos"}, ...]. Gives
    {"files": [name or None, ...], "failed": {number: reason}}: a segment that cannot be encoded is none.
    """

    name = "export"

    def __init__(self, settings: EmiliaSettings, out: Path) -> None:
        self._settings, self._out = settings, out

    def shape(self) -> Mapping[str, object]:
        codec = self._settings.audio_format
        bits = {"mp3_kbps": self._settings.mp3_kbps} if codec == "mp3" else {}
        peak = {"peak": self._settings.peak} if self._settings.peak == "normalise" else {}
        return {"version": VERSION, "av": version("av"), "format": codec, **bits, **peak}

    def run(self, item: Item, target: Path, part: Path, share: Share) -> Any:
        folder = part.with_suffix("")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            files, failed = self._encode(item, folder, share)
            entries = [
                {
                    "text": each["text"],
                    "start": round(each["start"] / SAMPLE_RATE, 3),
                    "end": round(each["end"] / SAMPLE_RATE, 3),
                    "speaker": each["speaker"],
                    "language": each["language"],
                    "dnsmos": each["dnsmos"],
                }
                for each, name in zip(item.given, files, strict=True)
                if name
            ]
            text = json.dumps(entries, ensure_ascii=False, indent=1)
            (folder / f"{item.id}.json").write_text(text + "\n", encoding="utf-8")
            (folder / MARK).write_text(item.key)
            place = self._out / item.id
            shutil.rmtree(place, ignore_errors=True)
            folder.rename(place)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return {"files": files, "failed": failed}

    @staticmethod
    def is_in_place(item: Item, out: Path, files: list[str | None]) -> bool:
        """Whether OUT/ID is what this item's export made, with none of its files removed since."""
        folder = out / item.id
        try:
            if (folder / MARK).read_text() != item.key:
                return False
        except OSError:
            return False
        return all((folder / name).exists() for name in (f"{item.id}.json", *files) if name)

    @staticmethod
    def folders(out: Path) -> list[Path]:
        """All that exports have made in OUT."""
        return sorted(mark.parent for mark in out.glob(f"*/{MARK}"))

    def _encode(self, item: Item, folder: Path, share: Share) -> tuple[list[str | None], dict[str, str]]:
        files: list[str | None] = []
        failed: dict[str, str] = {}
        if not item.given:
            return files, failed
        waveform = decode(Path(item.audio), sample_rate=SAMPLE_RATE).waveform
        codec = self._settings.audio_format
        for number, each in enumerate(item.given):
            name = f"{item.id}_{len(files) - len(failed):06d}.{codec}"
            part = waveform[each["start"] : each["end"]]
            if self._settings.peak == "normalise" and (top := float(abs(part).max(initial=0))):
                part = part / top  # as the original: once more, each segment by itself
            clip = to_int16(part)
            try:
                if len(clip) < each["end"] - each["start"]:  # an encoder takes that, even where nothing is left
                    raise ValueError("the sound ends before the segment does")
                write(folder / name, clip, codec, kbps=self._settings.mp3_kbps if codec == "mp3" else 0)
                files.append(name)
            except OSError:
                raise  # the disk's fault, not the segment's
            except Exception as error:
                traceback.print_exc()
                failed[str(number)] = in_a_line(error)
                (folder / name).unlink(missing_ok=True)
                files.append(None)
            share((number + 1) / len(item.given))
        return files, failed
