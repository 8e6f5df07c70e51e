"""tools/reproduce.py produces a ranking of sets and does not repeat finished steps."""

import subprocess
import sys
from pathlib import Path

from sounds import write_tones

DRIVER = Path(__file__).parents[2] / "tools" / "reproduce.py"


def test_the_smallest_scale_ends_in_a_ranking_of_sets(tmp_path: Path):
    write_tones(tmp_path / "tones")
    out = tmp_path / "out"
    command = [sys.executable, DRIVER, "--scale", "smoke", "--task", f"folder={tmp_path / 'tones'}", "--out", out]
    first = subprocess.run(command, capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    ranking = first.stdout[first.stdout.index("## Sets") :]
    assert all(f"| {name} | " in ranking for name in ("perlin", "ifs", "ifs-224x224"))
    assert "| folder:tones (logistic) | log-mel mean/std | 100.0 |" in first.stdout
    assert {path.name for path in out.glob("*.png")} == {"comparison.png", "transfer.png"}
    results = out / "runs" / "perlin" / "evaluation" / "results.json"
    before = results.stat().st_mtime_ns
    again = subprocess.run(command, capture_output=True, text=True)
    assert (again.returncode, again.stdout) == (0, first.stdout), again.stderr
    assert results.stat().st_mtime_ns == before
