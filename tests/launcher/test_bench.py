"""What scripts/bench_launcher concludes from its rounds."""

import runpy

from tests.launcher.launching import ROOT


def test_contestants_are_compared_within_each_round() -> None:
    """Rounds of an idle, a busy and a very busy machine; a ratio of medians would say 4.0."""
    bench = runpy.run_path(str(ROOT / "scripts/bench_launcher"))
    ours, bare = ([bench["Cost"](cpu, cpu, 1.0) for cpu in rounds] for rounds in ((2, 8, 20), (1, 2, 10)))
    assert bench["times"](ours, bare, "cpu") == 2
    assert f"| run-app | 2.00 | {8000:.1f} |" in bench["table"]({"bare": bare, "run-app": ours}, "bare")[-1]
