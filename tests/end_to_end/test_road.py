"""The three commands in sequence: render patterns, train an encoder, evaluate it on sounds."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from sounds import write_tones

from synpat_train import load_encoder
from synpat_train.model.timm_compat import create_model


def command(*words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name(str(words[0]))
    done = subprocess.run([program, *map(str, words[1:])], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run folder: an encoder pre-trained for three steps on sets of two families."""
    folder = tmp_path_factory.mktemp("road")
    for family in ("perlin", "white-noise"):
        command("synpat", "render", "--family", family, "--n", 40, "--out", folder / "sets" / family)
    shards = [word for family in ("perlin", "white-noise") for word in ("--shards", folder / "sets" / family)]
    small = ["--model", "tiny", "--steps", 3, "--batch-size", 16, "--set", "decoder_depth=1"]
    command("synpat-train", *shards, "--out", folder / "run", *small, "--cache", folder / "cache")
    return folder / "run"


def test_an_encoder_trained_on_patterns_is_evaluated_on_sounds(run: Path, tmp_path: Path):
    folder = ["--task", "folder", "--data", write_tones(tmp_path / "tones"), "--cache", tmp_path / "cache"]
    done = command("synpat-eval", "--encoder", run, "--protocol", "logistic", *folder)
    scores = json.loads((run / "evaluation" / "results.json").read_text())["tasks"]["folder:tones (logistic)"]["scores"]
    assert set(scores) == {"encoder", "random-init", "log-mel mean/std"}
    assert scores["encoder"]["value"] > 0.8  # low and high tones are easily distinguished, for any weights
    assert "tones" in done.stdout


def test_timm_and_load_encoder_give_the_same_features(run: Path):
    timm_model: Any = create_model(f"local-dir:{run / 'encoder'}", pretrained=True).eval()
    encoder = load_encoder(run)
    log_mel = torch.randn(2, 80, 208)
    tokens = timm_model.forward_features(log_mel.unsqueeze(1))[:, 1:]  # [2, 5 * 13, 192]
    expected = tokens.unflatten(1, (5, 13)).transpose(1, 2).flatten(2)
    assert torch.allclose(encoder.patch_features(log_mel), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "code", "mistake"),
    [
        ("--model huge --steps 3", 1, "model: input should be 'tiny', 'small', 'base' or 'large', got 'huge'"),
        ("--set chekpoint_every=5", 1, "the nearest known one is 'checkpoint_every'"),
        ("--preset m3d", 2, "Invalid value for '--preset'"),
        ("--set width=200", 1, "height and width must be multiples of the patch, 16 pixels, got 80x200"),
        ("--set height=96", 1, "contains images of 80x208, but the model needs a height of 96"),
        ("--shards nowhere", 1, "nowhere does not exist"),
    ],
)
def test_user_errors_are_reported_in_one_line(words: str, code: int, mistake: str, run: Path, tmp_path: Path):
    shards = ["--shards", run.parent / "sets" / "perlin"]
    done = command("synpat-train", *shards, "--out", tmp_path / "run", *words.split(), code=code)
    assert mistake in done.stderr.splitlines()[-1]
    assert not (tmp_path / "run").exists()
