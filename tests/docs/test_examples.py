"""The examples run, with fewer steps and generated recordings."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sounds import write_tones

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = {
    r"N = 10_000": "N = 128",
    r"N, STEPS = 20_000, 3000": "N, STEPS = 40, 2",
    r"STEPS = 500": "STEPS = 2",
    r'make_spec\("soundscape", 4000\)': 'make_spec("soundscape", 40)',
    r'TASK, DATA = "gm-instrument", None': 'TASK, DATA = "folder", "tones"',
    r'ENCODER, STEPS = "encoders/tiny", 50': f"ENCODER, STEPS = {str(EXAMPLES.parent / 'encoders' / 'tiny')!r}, 2",
}
"""Replacements of constants, as regular expressions."""


def code(path: Path) -> str:
    """Return the Python code of a script or of the cells of a notebook."""
    text = path.read_text()
    if path.suffix == ".ipynb":
        text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code")
    for pattern, replacement in SMALL.items():
        text = re.sub(pattern, replacement.replace("\\", "\\\\"), text)
    return text


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.*")), ids=lambda path: path.name)
def test_the_example_runs(path: Path, tmp_path: Path):
    write_tones(tmp_path / "tones")
    (tmp_path / "example.py").write_text(code(path))
    environment = os.environ | {"MPLBACKEND": "agg", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
