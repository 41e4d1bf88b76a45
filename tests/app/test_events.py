"""The log of what ran: whole lines, whatever the disk does."""

import json
import subprocess
import sys
from pathlib import Path

WRITER = """
import resource, sys
from pathlib import Path
from app.events import EventLog
log = EventLog(Path(sys.argv[1]))
log.add("started", file="a.wav")
room = log.path.stat().st_size + 20
resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
log.add("done", file="a.wav")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.add("started", file="b.wav")
"""


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    """The limit on a file's size cuts a write short, as a full disk does."""
    subprocess.run([sys.executable, "-c", WRITER, tmp_path], check=True, timeout=60)

    kept = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]

    assert [(event["event"], event["file"]) for event in kept] == [("started", "a.wav"), ("started", "b.wav")]
