"""Settings: layers over a preset, and the messages for invalid settings."""

from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from synpat_shards import InputError
from synpat_train.config import Config, make_config, to_yaml
from synpat_train.presets import DEFAULT_PRESET, PRESETS
from synpat_train.pretraining.cli import main
from synpat_train.settings import parse_settings, read_settings


def test_msm_mae_is_the_published_recipe():
    config = make_config("msm-mae")
    assert (config.height, config.width, config.patch, config.mask_ratio) == (80, 208, 16, 0.75)
    assert not config.norm_pix
    assert (config.decoder_width, config.decoder_depth) == (384, 4)
    assert (config.betas, config.weight_decay, config.warmup) == ((0.9, 0.95), 0.05, 0.1)
    assert config.base_lr / config.lr_batch == 1.5e-4 / 128


def test_synpat_preset_normalises_images_and_patches():
    config = make_config("synpat")
    assert (config.model, config.height, config.width, config.kept) == ("tiny", 80, 208, 16)
    assert (config.normalise, config.norm_pix) == ("image", True)
    assert config.base_lr * config.batch_size / config.lr_batch == 1e-3


def test_published_recipes_normalise_over_the_set():
    assert {make_config(preset).normalise for preset in PRESETS if preset != "synpat"} == {"set"}


def test_m2d_and_audiomae_match_the_implemented_parts_of_the_recipes():
    m2d, audiomae = make_config("m2d"), make_config("audiomae")
    assert (m2d.height, m2d.width, m2d.kept, m2d.decoder_width, m2d.decoder_depth) == (80, 608, 57, 512, 8)
    assert (audiomae.height, audiomae.width, audiomae.kept, audiomae.norm_pix) == (128, 1024, 102, True)
    assert audiomae.weight_decay == 1e-4


def test_later_layers_override_earlier_ones_and_steps_replace_epochs():
    config = make_config("msm-mae", {"seed": 1, "model": "small"}, {"seed": 2}, {"steps": 10})
    assert (config.seed, config.model, config.steps, config.epochs) == (2, "small", 10, None)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_configuration_written_as_yaml_is_read_back_unchanged(preset: str, tmp_path: Path):
    config = make_config(preset, {"clip": None})
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    assert make_config("msm-mae", read_settings(tmp_path / "config.yaml")) == config


def test_values_of_settings_are_read_as_yaml():
    assert parse_settings(["a=5", "b=1.5e-4", "c=true", "d=null", "e=[0.9, 0.95]", "f=x=y"]) == {
        "a": 5,
        "b": 1.5e-4,
        "c": True,
        "d": None,
        "e": [0.9, 0.95],
        "f": "x=y",
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"chekpoint_every": 5}, "unknown setting 'chekpoint_every'; the nearest known one is 'checkpoint_every'"),
        ({"mask_ratio": 1.5}, "mask_ratio: input should be less than 1, got 1.5"),
        ({"model": "huge"}, "model: input should be 'tiny', 'small', 'base' or 'large', got 'huge'"),
        ({"steps": 0}, "steps: input should be greater than 0, got 0"),
        ({"batch_size": "many"}, "batch_size: .* got 'many'"),
        ({"width": 200}, "height and width must be multiples of the patch, 16 pixels, got 80x200"),
        ({"mask_ratio": 0.999}, "mask_ratio 0.999 of 65 patches leaves no visible or no masked patch"),
        ({"accumulate": 3}, "batch_size must be a multiple of accumulate, got 256 and 3"),
        ({"compile": "maybe"}, "compile: input should be 'auto'"),
        ({"decoder_width": 100}, "decoder_width must be a multiple of twice decoder_heads, got 100 and 6"),
        ({"normalise": "patch"}, "normalise: input should be 'set' or 'image', got 'patch'"),
        ({"seed": 1 << 32}, "seed: input should be less than 4294967296, got 4294967296"),
        ({"betas": [0.9, 2]}, "betas: input should be less than 1, got 2"),
        ({"steps": 5, "epochs": 5}, "give either epochs or steps, got epochs=5 and steps=5"),
    ],
)
def test_error_for_invalid_setting_states_the_rule(settings: dict, message: str):
    with pytest.raises(ValueError, match=message):
        make_config("msm-mae", settings)


@pytest.mark.parametrize(("text", "message"), [("a: [", "is not valid YAML"), ("- 1", "must contain settings")])
def test_file_without_settings_is_rejected(text: str, message: str, tmp_path: Path):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ValueError, match=rf"c\.yaml {message}"):
        read_settings(tmp_path / "c.yaml")


def test_setting_without_a_value_is_rejected():
    with pytest.raises(ValueError, match="'seed' is not a valid setting: write key=value"):
        parse_settings(["seed"])


def test_value_that_is_not_valid_yaml_is_rejected():
    with pytest.raises(ValueError, match=r"'betas=\[0\.9' is not valid YAML: .*expected ',' or ']'"):
        parse_settings(["betas=[0.9"])


def test_binary_file_is_rejected(tmp_path: Path):
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"c\.yaml is not valid YAML: .*utf-8"):
        read_settings(tmp_path / "c.yaml")


def test_a_truth_value_is_no_number():
    with pytest.raises(InputError, match="batch_size: a number or a text is required, got true"):
        make_config("msm-mae", {"batch_size": True})
    assert make_config("msm-mae", {"norm_pix": False, "compile": True}).compile is True


@pytest.mark.parametrize("preset", PRESETS)
def test_every_setting_is_listed_with_its_value(preset: str):
    printed = CliRunner().invoke(main, ["settings", "--preset", preset])
    assert printed.exit_code == 0
    names = [line.partition(" = ")[0] for line in printed.stdout.splitlines() if not line.startswith(" ")]
    assert names == [field.name for field in fields(Config)]


def test_options_are_the_settings_of_the_same_name():
    options = ["--size", "96x320", "--seed", "7", "--batch-size", "1k", "--set", "mask_ratio=0.5", "ema=0.99"]
    printed = CliRunner().invoke(main, ["--print-config", *options])
    assert printed.exit_code == 0, printed.stderr
    settings = {"height": 96, "width": 320, "seed": 7, "batch_size": 1000, "mask_ratio": 0.5, "ema": 0.99}
    assert yaml.safe_load(printed.stdout) == yaml.safe_load(to_yaml(make_config(DEFAULT_PRESET, settings)))
    printed = CliRunner().invoke(main, ["--print-config", "--size", "90x320"])
    assert printed.stderr == "Error: height and width must be multiples of the patch, 16 pixels, got 90x320\n"
