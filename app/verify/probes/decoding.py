"""A recording of our own making, decoded by PyAV as run-app does it; and which of FFmpeg's libraries can be loaded."""

from __future__ import annotations

import ctypes
import json
import tempfile
import wave
from pathlib import Path

RATE = 16_000
FFMPEGS = {"4": 56, "5": 57, "6": 58, "7": 59, "8": 60}
"""Version of FFmpeg: major version of its libavutil."""


def main() -> None:
    found = []
    for version, major in FFMPEGS.items():
        try:
            ctypes.CDLL(f"libavutil.so.{major}")
        except OSError:
            continue
        found.append(version)
    print(json.dumps({"shared": found}), flush=True)
    import av

    from app.audio import decode

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "silence.wav")
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(bytes(2 * RATE))
        decoded = len(decode(path).waveform)
    libraries = {name: ".".join(map(str, version)) for name, version in av.library_versions.items()}
    print(json.dumps({"shared": found, "av": av.__version__, "decoded": decoded, "libraries": libraries}))


if __name__ == "__main__":
    main()
