"""Encoders of checkpoints, and runs that start from an encoder."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import synpat_train
from synpat_shards import InputError
from synpat_train import make_config, pretrain
from synpat_train.model.encoder import load_encoder
from synpat_train.pretraining.checkpoint import checkpoints
from synpat_train.pretraining.cli import main

CONFIG = make_config(
    "synpat",
    {
        "decoder_width": 32,
        "decoder_depth": 1,
        "decoder_heads": 2,
        "batch_size": 10,
        "steps": 4,
        "checkpoint_every": 2,
        "precision": "float32",
    },
)


@pytest.fixture(scope="module")
def run(perlin_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    pretrain(str(perlin_set), folder / "run", CONFIG, cache=folder / "cache")
    return folder / "run"


def export(run: Path, *words: str) -> str:
    done = CliRunner().invoke(main, ["export", str(run), *words])
    assert done.exit_code == 0, done.output
    return done.output


def test_pretrain_returns_the_encoder_that_it_exports(run: Path, perlin_set: Path):
    again = pretrain(str(perlin_set), run, CONFIG, cache=run.parent / "cache")
    assert again.digest == load_encoder(run).digest


def test_the_exported_last_checkpoint_equals_the_encoder_of_the_run(run: Path):
    finished = load_encoder(run).digest
    export(run)
    assert load_encoder(run).digest == finished


def test_an_earlier_checkpoint_is_exported_with_its_step(run: Path):
    finished = load_encoder(run).digest
    export(run, "--step", "2")
    assert load_encoder(run).digest != finished
    assert json.loads((run / "encoder" / "config.json").read_text())["step"] == 2
    assert "2 steps" in (run / "encoder" / "README.md").read_text()
    export(run)


def test_the_moving_average_is_exported(perlin_set: Path, tmp_path: Path):
    config = replace(CONFIG, ema=0.9)
    average = pretrain(str(perlin_set), tmp_path / "run", config, cache=tmp_path / "cache").digest
    export(tmp_path / "run")
    assert load_encoder(tmp_path / "run").digest == average


def test_a_step_without_checkpoint_is_refused_with_the_existing_ones(run: Path):
    done = CliRunner().invoke(main, ["export", str(run), "--step", "3"])
    assert done.exit_code == 1
    assert "no checkpoint of step 3; its checkpoints are of step 2, 4" in done.output


def test_an_unfinished_run_names_the_command_that_exports_it(run: Path, tmp_path: Path):
    unfinished = tmp_path / "run"
    (unfinished / "checkpoints").mkdir(parents=True)
    with pytest.raises(InputError, match="synpat-train export"):
        load_encoder(unfinished)


def test_a_run_starts_from_an_encoder(run: Path, perlin_set: Path, tmp_path: Path):
    """A learning rate near zero keeps the weights."""
    config = replace(CONFIG, init_from=str(run), base_lr=1e-30, weight_decay=0, steps=1, seed=5)
    pretrain(str(perlin_set), tmp_path / "run", config, cache=tmp_path / "cache")
    start, end = (load_encoder(folder).vit.state_dict() for folder in (run, tmp_path / "run"))
    assert all(torch.equal(start[name], end[name]) for name in start)


def test_a_resumed_run_does_not_start_again(run: Path, perlin_set: Path, tmp_path: Path):
    config = replace(CONFIG, init_from=str(run), seed=5)
    pretrain(str(perlin_set), tmp_path / "one", config, cache=tmp_path / "cache")
    one = load_encoder(tmp_path / "one").digest
    checkpoints(tmp_path / "one")[-1].unlink()  # it continues from step 2
    assert pretrain(str(perlin_set), tmp_path / "one", config, cache=tmp_path / "cache").digest == one


def test_an_encoder_of_another_size_is_refused(run: Path, perlin_set: Path, tmp_path: Path):
    config = replace(CONFIG, init_from=str(run), width=192)
    with pytest.raises(InputError, match="the encoder has 80x208 inputs"):
        pretrain(str(perlin_set), tmp_path / "run", config, cache=tmp_path / "cache")


def test_every_public_name_is_importable():
    assert all(getattr(synpat_train, name).__name__ == name for name in synpat_train.__all__)


def test_an_encoder_is_exported_by_torch_export(run: Path):
    """The embedding of a clip as a graph without Python: the same values for any number of clips."""
    encoder = load_encoder(run)

    class ClipEmbedding(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vit = encoder.vit  # a submodule, so that its weights are parameters of the graph

        def forward(self, log_mel: torch.Tensor) -> torch.Tensor:
            return encoder.clip_embedding(log_mel)

    clips = torch.randn(3, 80, 208)
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(ClipEmbedding(), (clips,), dynamic_shapes={"log_mel": {0: batch}})
    torch.testing.assert_close(program.module()(clips[:2]), encoder.clip_embedding(clips[:2]))
