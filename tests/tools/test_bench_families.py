"""The benchmark of the families."""

import json
import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).parents[2] / "tools" / "bench_families.py"


def test_a_family_is_measured_at_both_sizes_and_as_a_set(tmp_path):
    out = tmp_path / "bench.json"
    subprocess.run([sys.executable, TOOL, "--family", "stylegan-oriented", "--out", out], check=True)
    measured = json.loads(out.read_text())["families"]["stylegan-oriented"]
    assert 0 < measured["80x208"]["render_ms"] < measured["128x1024"]["render_ms"]
    assert measured["images_per_s"] > 0
