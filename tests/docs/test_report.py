"""The report of the demo in a browser, made from a small run and generated tones."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sounds import write_tones

from synpat import make_spec, render_set
from synpat_train import evaluate, make_config, pretrain
from synpat_train.evaluation.tasks.general_midi import FAMILIES
from synpat_train.evaluation.tasks.recordings import Recordings
from synpat_train.evaluation.tasks.task import Task, leave_one_fold_out

sys.path.append(str(Path(__file__).parents[2] / "tools"))
from demo_evidence import Evidence
from report import lead, training_seconds, write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
COUNT_MISSING = """<script>
let errors = 0;
window.addEventListener("error", () => errors++, true);
window.addEventListener("load", () => {
  const broken = [...document.images].filter(image => !image.naturalWidth).length;
  document.title = `${document.images.length} images, ${broken} broken, ${errors} errors`;
});
</script>"""


def notes() -> Evidence:
    """Return four tones of each instrument family with random embeddings."""
    labels = np.repeat(FAMILIES, 4)
    rng = np.random.default_rng(0)
    samples = (3000 * np.sin(np.arange(8000) * rng.uniform(0.1, 1, (len(labels), 1)))).astype(np.int16)
    recordings = Recordings(
        samples=samples.ravel(),
        starts=np.arange(len(labels)) * 8000,
        lengths=np.full(len(labels), 8000),
        digest="tones",
    )
    task = Task(
        name="tones",
        files=labels,
        recordings=recordings,
        full_recordings=recordings,
        labels=labels,
        splits=leave_one_fold_out((np.arange(len(labels)) % 2).astype(str)),
    )
    return Evidence(task, *rng.normal(size=(2, len(labels), 40)).astype(np.float32))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    demo = tmp_path_factory.mktemp("demo")
    render_set(demo / "sets" / "perlin", make_spec("perlin", 20), workers=1)
    small = {"steps": 2, "batch_size": 8, "decoder_width": 32, "decoder_depth": 1, "decoder_heads": 2}
    pretrain(str(demo / "sets" / "perlin"), demo / "run", make_config("synpat", small), cache=demo / "cache")
    tones = write_tones(demo / "tones")
    evaluate(demo / "run", "folder", "knn", data=tones, cache=demo / "cache", out=demo / "evaluation")
    commands = {"render": f"synpat render --out {demo}/sets/perlin"}
    return write_report(demo, "perlin", commands, {"render": 1, "pre-train": 60}, notes())


def test_a_browser_shows_every_picture_without_errors(report: Path, tmp_path: Path):
    if CHROMIUM is None:
        pytest.skip("no Chromium")
    page = tmp_path / "page.html"
    page.write_text(report.read_text().replace("<title>", COUNT_MISSING + "<title>"))
    shown = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000", "--dump-dom", page],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert re.search("<title>[5-9] images, 0 broken, 0 errors</title>", shown.stdout), shown.stderr


def test_it_needs_no_network_and_less_than_three_megabytes(report: Path):
    assert report.stat().st_size < 3_000_000
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", report.read_text())


def test_it_opens_with_the_verdict_and_every_picture_has_a_text(report: Path):
    text = report.read_text()
    verdict = re.findall('<p class="verdict">(.*)</p>', text)[0]
    assert re.match(r"After \d+ seconds of pre-training on 16 views of 20 patterns, the encoder", verdict)
    assert len(re.findall("<img alt=.[A-Z0-9]", text)) == text.count("<img ")
    assert len(re.findall("<audio controls aria-label=.[a-z]", text)) == text.count("<audio ") == 6


@pytest.mark.parametrize(
    ("difference", "low", "high", "words"),
    [
        (0.09, 0.06, 0.12, "classifies pitches better than a random one by 9.0 points (95 % interval +6.0 to +12.0)"),
        (-0.04, -0.05, -0.03, "classifies pitches worse than a random one by 4.0 points (95 % interval -5.0 to -3.0)"),
        (0.01, -0.01, 0.03, "does not differ significantly from a random one on pitches: "
                            "+1.0 points (95 % interval -1.0 to +3.0)"),
    ],
)  # fmt: skip
def test_the_verdict_says_what_the_interval_shows(difference: float, low: float, high: float, words: str):
    result = {"difference": difference, "interval95": (low, high)}
    assert lead("pitches", {"scores": {"random-init": {"encoder_minus_this": result}}}) == words


def test_the_time_of_an_interrupted_training_is_that_of_all_steps():
    log = [{"step": 20, "samples_per_s": 64.0}, {"step": 50, "samples_per_s": 32.0}]
    assert training_seconds(log, batch_size=32) == 10 + 30


def test_the_commands_do_not_contain_the_folder_of_this_machine(report: Path):
    assert str(report.parent) not in report.read_text()
