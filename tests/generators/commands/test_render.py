"""The commands families, show, render and sheet."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from synpat.cli import main
from synpat.families import FAMILIES
from synpat.rendering.sampling import sample
from synpat_shards import decode_png, open_store, read_images, read_manifest


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.mark.parametrize("columns", [40, 80, 300])
def test_families_prints_the_name_and_the_parameters_of_each_family(columns: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    output = run("families").stdout
    assert max(map(len, output.splitlines())) <= columns
    names = [line.split()[0] for line in output.splitlines() if line and not line.startswith(" ")]
    assert [name for name in names if name != "family"] == list(FAMILIES)
    assert {"rows=1..16384", "columns=1..16384", "octaves=1..16", "persistence=0.001..1"} <= set(output.split())


def test_families_as_json():
    families = json.loads(run("families", "--json").stdout)
    assert list(families) == list(FAMILIES)
    assert families["perlin"]["parameters"]["octaves"] == "1..16"
    assert families["fractaldb"]["published_size"] == list(FAMILIES["fractaldb"].published_size or ())
    assert all(family["description"] and family["source"] for family in families.values())


def test_show_paints_the_sample_and_prints_its_parameters(tmp_path: Path):
    result = run(
        "show", "--family", "perlin", "--seed", 2, "--index", 7, "--size", "40x60", "--out", tmp_path / "x.png"
    )
    assert np.array_equal(decode_png((tmp_path / "x.png").read_bytes()), sample("perlin", 2, 7, 40, 60))
    assert json.loads(result.stdout)["parameters"] == {"rows": 2, "columns": 9, "octaves": 2, "persistence": 0.5}


def test_render_writes_a_set_and_prints_one_line(tmp_path: Path):
    result = run(
        "render", "--family", "white-noise", "--n", 5, "--size", "8x8", "--workers", 1, "--out", tmp_path / "s"
    )
    assert result.exit_code == 0
    assert result.stdout.count("\n") == 1
    assert "5 images of white-noise in 1 shard" in result.stdout
    assert read_manifest(tmp_path / "s").spec.n == 5


def test_every_option_of_render_is_stored_in_the_manifest(tmp_path: Path):
    painting = "--family perlin --n 3 --size 8x12 --seed 4 --mode RGB --param octaves=1"
    painting += " --render-size 16x24 --resize-filter bilinear"
    writing = "--samples-per-shard 2 --params --workers 1"
    assert run("render", *painting.split(), *writing.split(), "--out", tmp_path / "s").exit_code == 0
    spec = read_manifest(tmp_path / "s").spec
    assert (spec.n, spec.height, spec.width, spec.seed, spec.samples_per_shard) == (3, 8, 12, 4, 2)
    assert (spec.mode, spec.render_size, spec.resize_filter, spec.with_parameters, spec.parameters) == (
        "RGB",
        (16, 24),
        "bilinear",
        True,
        {"octaves": 1},
    )


@pytest.mark.parametrize(
    ("option", "sizes"),
    [
        ("--render-size published", [(362, 362), None]),
        ("--render-size native", [None, None]),
        ("--render-size 16x24", [(16, 24), (16, 24)]),
        ("--via 16x24", [(16, 24), (16, 24)]),
        ("", [None, None]),
    ],
)
def test_images_are_painted_at_the_published_or_a_given_size(option: str, sizes: list, tmp_path: Path):
    command = f"render --family fractaldb,perlin --n 1 --size 16x32 --workers 1 {option}"
    assert run(*command.split(), "--out", tmp_path).exit_code == 0
    assert [read_manifest(tmp_path / name).spec.render_size for name in ("fractaldb", "perlin")] == sizes


def test_show_and_sheet_paint_what_render_renders(tmp_path: Path):
    painting = "--family visual-atom --size 20x52 --render-size published --resize-filter bilinear"
    options = painting.split()
    assert run("render", *options, "--n", 1, "--workers", 1, "--out", tmp_path / "s").exit_code == 0
    shown = run("show", *options, "--out", tmp_path / "x.png")
    assert json.loads(shown.stdout)["render_size"] == [512, 512]
    assert run("sheet", *options, "--columns", 1, "--out", tmp_path / "y.png").exit_code == 0
    store = open_store(tmp_path / "s")
    (image, _size), *_ = read_images(store, read_manifest(store), [0])
    assert np.array_equal(decode_png((tmp_path / "x.png").read_bytes()), image)
    assert np.array_equal(decode_png((tmp_path / "y.png").read_bytes())[24:44, 6:58], image)


def test_a_size_that_is_neither_a_word_nor_a_size_is_rejected(tmp_path: Path):
    result = run("render", "--family", "perlin", "--n", 1, "--render-size", "big", "--out", tmp_path / "s")
    assert result.exit_code == 2
    assert "'big' is not a valid size: write HEIGHTxWIDTH" in result.stderr


def test_several_families_give_the_same_sets_as_single_renders(tmp_path: Path):
    options = "--n 4 --size 8x12 --seed 1 --workers 1 --samples-per-shard 3"
    both = run("render", "--family", "perlin,white-noise", "perlin", *options.split(), "--out", tmp_path / "both")
    assert both.exit_code == 0
    assert [line.split(":")[0] for line in both.stdout.splitlines()] == [
        str(tmp_path / "both" / name) for name in ("perlin", "white-noise")
    ]
    assert "Rendered 8 images" in both.stderr
    assert run("render", "--family", "perlin", *options.split(), "--out", tmp_path / "one").exit_code == 0
    for path in (tmp_path / "one").glob("*.tar"):
        assert path.read_bytes() == (tmp_path / "both" / "perlin" / path.name).read_bytes()


def test_sheet_paints_a_row_for_each_family(tmp_path: Path):
    command = ("sheet", "--family", "white-noise,perlin", "--columns", 3, "--size", "8x8", "--out", tmp_path / "x.png")
    assert run(*command).exit_code == 0
    assert decode_png((tmp_path / "x.png").read_bytes()).shape == (2 * (18 + 8 + 6) + 6, 3 * (8 + 6) + 6)


RENDER = "render --family perlin --n 3 --size 8x8 --workers 1 --out OUT"


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("render --family perln --n 3 --out OUT", 2, "'perln' is not a family. Did you mean 'perlin'?"),
        ("render --family perlin --n 0 --out OUT", 2, "'0' is not a whole number of 1 or more"),
        ("render --family perlin --n 3", 2, "Missing option '--out'"),
        (RENDER + " --size 80", 2, "'80' is not a valid size: write HEIGHTxWIDTH"),
        (RENDER + " --size 0x8", 2, "'0x8' is out of range"),
        (RENDER + " --seed -1", 2, "-1 is not in the range x>=0"),
        (RENDER + " --param octaves=99", 1, "octaves must be between 1 and 16, got 99"),
        (
            RENDER + " --param clouds=1",
            1,
            "perlin has no parameter 'clouds'; its parameters are: rows, columns, octaves, persistence",
        ),
        ("render --family perlin,clouds --n 3 --out OUT", 2, "'clouds' is not a family. `synpat families` lists"),
        (
            "render --family perlin,fractaldb --n 3 --size 4x8 --out OUT",
            1,
            "fractaldb needs at least 8 pixels per side, got 4x8",
        ),
        (
            "render --family perlin,white-noise --n 3 --param octaves=1 --out OUT",
            1,
            "white-noise has no parameter 'octaves'; its parameters are: none",
        ),
        ("sheet --family clouds --out OUT", 2, "'clouds' is not a family"),
        ("show --family perln --out OUT", 2, "Did you mean 'perlin'?"),
        ("show --family perlin --out OUT.jpg", 2, "must end in .png"),
        ("show --family perlin --out OUT/new/x.png", 2, "is in a folder that does not exist"),
        ("show --family perlin --index 0 --out NOWHERE/x.png", 2, "is in a folder that does not exist"),
    ],
)
def test_invalid_input_is_reported_in_one_line(command: str, code: int, words: str, tmp_path: Path):
    result = run(*command.replace("OUT", str(tmp_path / "s")).split())
    assert result.exit_code == code
    assert words in result.stderr
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.strip().splitlines()[-1].startswith("Error: ")
    assert not list(tmp_path.iterdir())


def test_a_folder_with_other_files_is_not_changed(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("years of work")
    result = run(*RENDER.replace("OUT", str(tmp_path)).split())
    assert (result.exit_code, [path.name for path in tmp_path.iterdir()]) == (1, ["thesis.tex"])
    assert "is not empty and contains no shard set" in result.stderr


def test_logs_and_files_of_systems_are_no_obstacle(tmp_path: Path):
    (tmp_path / "s" / "lost+found").mkdir(parents=True)
    for name in (".gitkeep", ".DS_Store", "log", "nohup.out"):
        (tmp_path / "s" / name).touch()
    assert run(*RENDER.replace("OUT", str(tmp_path / "s")).split()).exit_code == 0
    assert run("verify", str(tmp_path / "s")).exit_code == 0


def test_a_different_set_in_the_same_folder_is_rejected(tmp_path: Path):
    command = RENDER.replace("OUT", str(tmp_path / "s"))
    assert run(*command.split()).exit_code == 0
    result = run(*command.replace("--n 3", "--n 4").split())
    assert result.exit_code == 1
    assert "n is 3, not 4" in result.stderr


@pytest.mark.parametrize("name", [None, *main.commands])
def test_every_command_has_help_with_an_example(name: str | None):
    output = run(*([name] if name else []), "--help").stdout
    assert name is None or "Example:" in output
