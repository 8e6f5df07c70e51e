"""Pre-training: the loss, resumed runs, the run folder, and loading of the exported encoder."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from synpat.rendering.render import make_spec, render_set
from synpat_shards import InputError, decode_png, locked
from synpat_train.config import Config, make_config
from synpat_train.data.batches import mask_noise
from synpat_train.model.timm_compat import create_model
from synpat_train.pretraining.cli import main
from synpat_train.pretraining.log import read_log
from synpat_train.pretraining.model_card import card
from synpat_train.pretraining.status import run_status
from synpat_train.pretraining.train import Objective, pretrain
from synpat_train.schedule import learning_rate
from synpat_train.settings import read_settings

SETTINGS = {
    "model": "tiny",
    "decoder_width": 48,
    "decoder_depth": 1,
    "decoder_heads": 3,
    "batch_size": 16,
    "steps": 12,
    "log_every": 2,
    "checkpoint_every": 4,
    "pictures_every": 6,
    "base_lr": 1e-2,
    "precision": "float32",
}
CONFIG = make_config("msm-mae", SETTINGS)


def train(run: Path, shards: Path, config: Config = CONFIG) -> Path:
    pretrain(str(shards), run, config, cache=run.parent / "cache", workers=1)
    return run


@pytest.fixture(scope="module")
def run(perlin_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("runs") / "uninterrupted", perlin_set)


def log(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "encoder" / "model.safetensors")


def test_loss_decreases(run: Path):
    losses = [line["loss"] for line in log(run)]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize(("size", "fits", "parts"), [(16, 4, 4), (14, 3, 7)])
def test_error_for_out_of_memory_names_a_number_of_parts_that_fits(
    size: int, fits: int, parts: int, perlin_set: Path, tmp_path: Path, monkeypatch
):
    class LimitedMemory(Objective):
        """An objective that runs out of memory for more than `fits` images."""

        def forward(self, images: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
            if len(images) > fits:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(images, noise)

    monkeypatch.setattr("synpat_train.pretraining.train.Objective", LimitedMemory)
    config = replace(CONFIG, batch_size=size)
    with pytest.raises(
        ValueError, match=rf"for {size} samples at once, but {fits} fit: continue with --set accumulate={parts}"
    ):
        train(tmp_path / "run", perlin_set, config)
    train(tmp_path / "run", perlin_set, replace(config, accumulate=parts))


def test_run_of_another_process_is_not_changed(run: Path, perlin_set: Path):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    with locked(run / ".lock"), pytest.raises(ValueError, match=r"another process is training into .*uninterrupted"):
        train(run, perlin_set)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()} == before


def test_run_skips_and_counts_corrupt_samples(perlin_set: Path, tmp_path: Path):
    shards = Path(shutil.copytree(perlin_set, tmp_path / "set"))
    corrupt = shards / "perlin-000001.tar"
    corrupt.write_bytes(bytes(corrupt.stat().st_size))
    with pytest.raises(ValueError, match=r"perlin-000001\.tar"):
        train(tmp_path / "stopped", shards)
    run = train(tmp_path / "run", shards, make_config("msm-mae", SETTINGS | {"skip_damaged": True}))
    assert 12 < log(run)[-1]["skipped"] < 12 * 16  # one of four shards, in about two epochs
    assert (run / "encoder" / "model.safetensors").exists()


def test_run_folder_contains_the_documented_files(run: Path):
    names = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert names - {name for name in names if name.startswith("tensorboard/events")} == {
        "config.yaml",
        "sets.json",
        "log.jsonl",
        "checkpoints/step-000000008.pt",
        "checkpoints/step-000000012.pt",
        "encoder/README.md",
        "encoder/SHA256SUMS",
        "encoder/config.json",
        "encoder/model.safetensors",
        "reconstructions/step-000000006.png",
        "reconstructions/step-000000012.png",
    }
    assert [line["step"] for line in log(run)] == [2, 4, 6, 8, 10, 12]
    assert make_config("msm-mae", read_settings(run / "config.yaml")) == CONFIG


def test_same_run_gives_the_same_weights(run: Path, perlin_set: Path, tmp_path: Path):
    again = weights(train(tmp_path / "again", perlin_set))
    assert all(torch.equal(tensor, again[name]) for name, tensor in weights(run).items())


def test_resumed_run_ends_with_the_same_weights_and_log(run: Path, perlin_set: Path, tmp_path: Path):
    stopped = train(tmp_path / "stopped", perlin_set)
    # The state that a kill after step 8 leaves: later log lines, an incomplete line, no encoder.
    (stopped / "checkpoints" / "step-000000012.pt").unlink()
    shutil.rmtree(stopped / "encoder")
    with (stopped / "log.jsonl").open("a") as file:
        file.write('{"step": 1')
    train(stopped, perlin_set)
    assert all(torch.equal(tensor, weights(stopped)[name]) for name, tensor in weights(run).items())
    assert [(line["step"], line["loss"], line["lr"]) for line in log(stopped)] == [
        (line["step"], line["loss"], line["lr"]) for line in log(run)
    ]


def test_run_folder_of_another_configuration_is_rejected(run: Path, perlin_set: Path):
    other = make_config("msm-mae", SETTINGS | {"seed": 5})
    with pytest.raises(ValueError, match=r"contains another run: seed is 0, not 5. Choose another --out"):
        train(run, perlin_set, other)


def test_run_without_progress_can_be_started_with_other_settings(run: Path, perlin_set: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="the loss is nan"):
        train(tmp_path / "out", perlin_set, make_config("msm-mae", SETTINGS | {"base_lr": 1e30, "clip": None}))
    again = weights(train(tmp_path / "out", perlin_set))
    assert all(torch.equal(tensor, again[name]) for name, tensor in weights(run).items())


def test_run_folder_of_other_shard_sets_is_rejected(run: Path, tmp_path: Path):
    render_set(tmp_path / "noise", make_spec("white-noise", 50), workers=1, progress=lambda *_: None)
    with pytest.raises(ValueError, match="contains another run: it learned from other shard sets"):
        train(run, tmp_path / "noise")


def test_folder_with_other_files_is_rejected(perlin_set: Path, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    with pytest.raises(ValueError, match=r"is not empty and contains no run of synpat-train, but thesis.tex: choose"):
        train(tmp_path / "out", perlin_set)


def test_logs_and_files_of_systems_are_no_obstacle(perlin_set: Path, tmp_path: Path):
    out = tmp_path / "out"
    (out / "lost+found").mkdir(parents=True)
    (out / ".git").mkdir()
    for name in (".gitkeep", ".DS_Store", "log", "nohup.out", "slurm-17.out", "job.o1234"):
        (out / name).touch()
    with (out / "anything.txt").open("w") as output:  # as with `synpat-train > out/anything.txt`
        code = "import sys; from pathlib import Path; from synpat_train.pretraining.run_folder import _other_files as o"
        command = [sys.executable, "-c", f"{code}; sys.exit(len(o(Path(sys.argv[1]))))", out]
        assert subprocess.run(command, stdout=output).returncode == 0
    (out / "anything.txt").unlink()
    train(out, perlin_set)
    assert (out / "encoder" / "config.json").is_file()


def test_set_smaller_than_a_batch_is_rejected(perlin_set: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="the sets have 100 samples, fewer than one batch of 256"):
        train(tmp_path / "out", perlin_set, make_config("msm-mae", SETTINGS | {"batch_size": 256}))


def test_nan_loss_stops_the_run(perlin_set: Path, tmp_path: Path):
    with pytest.raises(
        ValueError,
        match=r"the loss is nan at step 3, on .*perlin-00000.\.tar:00000000.. and 15 other .* checkpoint is none",
    ):
        train(tmp_path / "out", perlin_set, make_config("msm-mae", SETTINGS | {"base_lr": 1e30, "clip": None}))


def test_checkpoints_load_without_unpickling(run: Path):
    state = torch.load(run / "checkpoints" / "step-000000012.pt", weights_only=True)
    assert state["step"] == 12


def test_timm_loads_the_encoder_with_identical_weights(run: Path):
    encoder = create_model(f"local-dir:{run / 'encoder'}", pretrained=True)
    assert all(torch.equal(tensor, encoder.state_dict()[name]) for name, tensor in weights(run).items())
    assert encoder(torch.zeros(2, 1, 80, 208)).shape == (2, 192)


def test_transformers_loads_the_encoder_with_identical_outputs(run: Path):
    from transformers import AutoModel

    encoder = AutoModel.from_pretrained(run / "encoder").eval()
    timm_encoder = create_model(f"local-dir:{run / 'encoder'}", pretrained=True).eval()
    images = torch.randn(2, 1, 80, 208)
    with torch.no_grad():
        assert torch.equal(encoder(images).pooler_output, timm_encoder(images))


def test_model_card_has_sets_recipe_and_results(run: Path, perlin_set: Path):
    [digest] = [record["digest"] for record in json.loads((run / "sets.json").read_text())["sets"]]
    first = (run / "encoder" / "README.md").read_text()
    assert f"| perlin | 100 | 1 | `{digest}` |" in first
    assert "mask_ratio: 0.75" in first
    assert "samples/s, MFU" in first
    (run / "evaluation").mkdir()
    gain = {"difference": 0.25, "interval95": [0.125, 0.375]}
    scores = {"encoder": {"value": 0.5}, "random-init": {"value": 0.25, "encoder_minus_this": gain}}
    (run / "evaluation" / "results.json").write_text(json.dumps({"tasks": {"bells": {"scores": scores}}}))
    assert "| bells | 50.0 | 25.0 | +25.0 (+12.5 to +37.5) |" in card(run)
    shutil.rmtree(run / "evaluation")


def test_inspect_prints_the_status_and_plots_the_loss(run: Path):
    done = CliRunner().invoke(main, ["inspect", str(run)])
    assert done.exit_code == 0
    assert "step 12 of 12 (100.0%), loss" in done.stdout
    assert "\nfinished, encoder/ is exported" in done.stdout
    assert (run / "loss.png").read_bytes().startswith(b"\x89PNG")
    (run / "loss.png").unlink()


def test_inspect_counts_the_samples_of_an_epoch_as_the_run_does(perlin_set: Path, tmp_path: Path):
    """Each of the four shards gives 8 samples, 0.3 of 25 rounded. Rounding per set would give 30 instead of 32."""
    run = tmp_path / "run"
    pretrain(f"{perlin_set}=0.3", run, replace(CONFIG, steps=2), cache=tmp_path / "cache", workers=1)
    assert "32 samples per epoch" in run_status(run)


def test_incomplete_stored_configuration_is_rejected(run: Path, tmp_path: Path):
    """A missing setting is not taken from a preset, because the run may have used another one."""
    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run" / "config.yaml"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("mask_ratio")))
    with pytest.raises(InputError, match="the setting mask_ratio is missing"):
        run_status(tmp_path / "run")


def test_model_card_states_unknown_origin_without_a_manifest(perlin_set: Path, tmp_path: Path):
    """The second set has the same tars without the manifest."""
    (tmp_path / "foreign").mkdir()
    for tar in perlin_set.glob("*.tar"):
        shutil.copy(tar, tmp_path / "foreign")
    shards = [str(perlin_set), str(tmp_path / "foreign")]
    pretrain(shards, tmp_path / "run", replace(CONFIG, steps=2), cache=tmp_path / "cache", workers=1)
    text = (tmp_path / "run" / "encoder" / "README.md").read_text()
    assert "license: other" in text
    assert "The origin and the licence of the images in foreign are unknown to synpat." in text
    assert "No recording" not in text


def test_model_card_is_written_without_a_log(run: Path, tmp_path: Path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "log.jsonl").unlink()
    assert "The run has no log." in card(tmp_path / "run")


def test_inspect_rejects_a_folder_without_a_run(tmp_path: Path):
    assert "contains no run of synpat-train" in CliRunner().invoke(main, ["inspect", str(tmp_path)]).output


def test_error_for_corrupt_configuration_names_it(tmp_path: Path):
    (tmp_path / "config.yaml").write_text("model: tiny\nheight: 80\npatch:")
    with pytest.raises(ValueError, match=r"config\.yaml is corrupt, or was written by another .*width is missing"):
        run_status(tmp_path)


@pytest.mark.parametrize("line", [b"\0\0\xff\n", b"[1]\n", b'{"step": 4}\n'])
def test_error_for_corrupt_log_line_names_it(line: bytes, run: Path, tmp_path: Path):
    first = (run / "log.jsonl").read_bytes().splitlines(keepends=True)[0]
    (tmp_path / "log.jsonl").write_bytes(first + line + first)
    with pytest.raises(ValueError, match=r"log\.jsonl is corrupt at line 2: remove that line"):
        read_log(tmp_path)


def test_pictures_show_the_originals_in_the_last_column(run: Path, perlin_set: Path):
    from synpat.rendering.sampling import sample

    sheet = decode_png((run / "reconstructions" / "step-000000012.png").read_bytes())
    assert sheet.shape == (8 * 84, 3 * 212)
    assert np.array_equal(sheet[:80, 424 : 424 + 208], sample("perlin", 0, 0, 80, 208))


def test_run_with_histograms_as_targets_is_reproducible_and_draws_pixels(perlin_set: Path, tmp_path: Path):
    config = make_config("synpat", SETTINGS | {"steps": 6, "hog_weight": 1.0})
    first, second = (train(tmp_path / name, perlin_set, config) for name in ("first", "second"))
    assert all(torch.equal(weights(first)[name], weight) for name, weight in weights(second).items())
    assert decode_png((first / "reconstructions" / "step-000000006.png").read_bytes()).shape == (8 * 84, 3 * 212)


def test_masks_are_a_pure_function_of_seed_and_step():
    assert torch.equal(mask_noise(CONFIG, 3), mask_noise(CONFIG, 3))
    assert not torch.equal(mask_noise(CONFIG, 3), mask_noise(CONFIG, 4))


def test_learning_rate_rises_linearly_then_follows_half_a_cosine():
    rates = [learning_rate(step, peak=2.0, warmup=10, total=110) for step in range(111)]
    assert rates[0] == 0
    assert rates[5] == 1
    assert rates[10] == 2
    assert rates[60] == pytest.approx(1)
    assert rates[110] == pytest.approx(0)
    assert rates[11:] == sorted(rates[11:], reverse=True)
