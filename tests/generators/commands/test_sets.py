"""The commands verify, publish, inspect, preview and extend."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image as Picture

from synpat.cli import main
from synpat.rendering.sampling import sample
from synpat_shards import decode_png, encode_png, open_store, read_manifest

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


@pytest.fixture
def folder(perlin_set: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(perlin_set, tmp_path / "set"))


def contents(place: str | Path) -> dict[str, bytes]:
    store = open_store(place)
    return {name: store.read(name) for name in store.sizes()}


def test_verify_prints_the_checks_and_ok(folder: Path):
    lines = run("verify", folder).stdout.splitlines()
    assert lines[-1] == f"{folder}: OK"
    assert ["samples:", "key,", "members,", "class,", "image", "100", "0"] in [line.split() for line in lines]


def test_verify_prints_the_faults_and_exits_with_1(folder: Path):
    (folder / "perlin-000002.tar").unlink()
    (folder / "notes.txt").touch()
    for quick in ([], ["--quick"]):
        lines = run("verify", folder, *quick, code=1).stdout.splitlines()
        assert lines[-3:] == [
            "FAULT perlin-000002.tar: is missing",
            "FAULT notes.txt: is not part of the set",
            f"{folder}: 2 faults",
        ]
        report = json.loads(run("verify", folder, "--json", *quick, code=1).stdout)
        assert (report["ok"], report["faults"][0]["file"]) == (False, "perlin-000002.tar")


def test_verify_renders_shards_again_and_reports_the_largest_difference(folder: Path):
    report = json.loads(run("verify", folder, "--regenerate", 2, "--workers", 1, "--json").stdout)
    assert [(shard["file"], shard["images"]) for shard in report["regenerated"]] == [
        ("perlin-000000.tar", 25),
        ("perlin-000003.tar", 25),
    ]
    assert report["largest_difference"] == 0
    output = run("verify", folder, "--regenerate", "all", "--workers", 2).stdout
    assert "largest difference in 100 images rendered again: 0 grey levels" in output


def test_verify_regenerate_finds_pixels_that_the_family_does_not_paint(tmp_path: Path):
    """The set is consistent, but image 7 differs from the one that the family paints."""
    from synpat.rendering.render import make_spec, paint_index
    from synpat_shards import Sample, begin_set, complete_set, write_shard

    spec = make_spec("perlin", 10, height=16, width=16)
    forged = [vars(paint_index(spec, index)) for index in range(10)]
    forged[7]["image"] = forged[7]["image"] ^ 4
    begin_set(open_store(tmp_path / "s"), spec)
    record = write_shard(open_store(tmp_path / "s"), spec, 0, (Sample(**each) for each in forged))
    complete_set(open_store(tmp_path / "s"), spec, [record], {})
    assert run("verify", tmp_path / "s").exit_code == 0
    output = run("verify", tmp_path / "s", "--regenerate", "all", code=1).stdout
    assert "1 of 10 images differ when rendered again, by at most 4 grey levels" in output


def test_a_set_of_another_family_version_cannot_be_regenerated_or_extended(folder: Path):
    path = folder / ".synpat" / "manifest.json"
    version = json.loads(path.read_text())["spec"]["family_version"]
    path.write_text(path.read_text().replace(f'"family_version": {version}', '"family_version": 99'))
    errors = run("verify", folder, "--quick", "--regenerate", 1, code=1).stderr
    assert errors.startswith("Error: this set was rendered with version 99 of perlin, but this synpat has version")
    assert "family_version is 99, not 1" in run("extend", folder, "--n", 200, code=1).stderr


def test_inspect_prints_the_specification_the_counts_and_the_statistics(folder: Path):
    content = json.loads(run("inspect", folder, "--json").stdout)
    assert (content["spec"]["family"], content["shards"], content["statistics"]["images"]) == ("perlin", 4, 100)
    assert content["bytes"] == sum(path.stat().st_size for path in folder.glob("*.tar"))
    output = run("inspect", folder).stdout
    assert "100 in 4 shards of at most 25" in output
    assert "spectral slope" in output


def test_preview_shows_the_pixels_of_the_set(folder: Path, tmp_path: Path):
    run("preview", folder, "--out", tmp_path / "x.png", "--samples", 6, "--columns", 3)
    sheet = decode_png((tmp_path / "x.png").read_bytes())
    assert np.array_equal(sheet[34:114, 8:216], sample("perlin", 0, 0, 80, 208))
    assert np.array_equal(sheet[140:220, 440:648], sample("perlin", 0, 99, 80, 208))


def test_the_preview_page_contains_its_images(folder: Path, tmp_path: Path):
    run("preview", folder, "--out", tmp_path / "x.html", "--samples", 5)
    page = (tmp_path / "x.html").read_text()
    assert page.count('src="data:image/png;base64,') == page.count("src=") == 5
    assert "http" not in page
    assert "<th>seed<td>0" in page


def test_the_preview_of_a_colour_set_is_in_colour(tmp_path: Path):
    options = "--family spectrum-color --n 2 --size 32x32 --mode RGB --workers 1"
    run("render", *options.split(), "--out", tmp_path / "s")
    run("preview", tmp_path / "s", "--out", tmp_path / "x.png")
    assert Picture.open(tmp_path / "x.png").mode == "RGB"


@pytest.mark.parametrize(("n", "bounds"), [(90, [30, 60, 70, 90]), (60, [30, 60])])
def test_extend_does_not_change_existing_shards(n: int, bounds: list[int], tmp_path: Path):
    options = ["--size", "8x12", "--samples-per-shard", 30, "--workers", 1]
    for name, count in (("old", 70 if n == 90 else 30), ("straight", n)):
        run("render", "--family", "perlin", "--n", count, *options, "--out", tmp_path / name)
    before = contents(tmp_path / "old")
    run("extend", tmp_path / "old", "--n", n, "--workers", 1)
    after = contents(tmp_path / "old")
    assert all(after[name] == data for name, data in before.items() if name.endswith((".tar", ".idx")))
    shards = read_manifest(tmp_path / "old").shards
    assert [shard.first_index + shard.count for shard in shards] == bounds
    assert run("verify", tmp_path / "old", "--regenerate", "all", "--workers", 1).exit_code == 0
    if n == 60:  # if all shards were full, the extension leaves no trace
        assert after == contents(tmp_path / "straight")
    again = run("extend", tmp_path / "old", "--n", n)
    assert contents(tmp_path / "old") == after
    assert "Rendered 0 images" in again.stderr


def test_the_same_command_continues_an_interrupted_extension(folder: Path, tmp_path: Path):
    from synpat.rendering.render import render_shard
    from synpat_shards import begin_extension

    straight = Path(shutil.copytree(folder, tmp_path / "straight"))
    run("extend", straight, "--n", 160, "--workers", 1)
    spec = begin_extension(open_store(folder), 160)
    render_shard(open_store(folder), spec, 5)
    assert read_manifest(folder).spec.n == 100  # readers see the old set until then
    assert "is being extended to 160 samples: finish that first" in run("extend", folder, "--n", 170, code=1).stderr
    run("extend", folder, "--n", 160, "--workers", 1)
    assert contents(folder) == contents(straight)


def test_a_set_rendered_to_a_store_has_the_same_bytes_as_one_in_a_folder(s3: str, tmp_path: Path):
    options = "render --family perlin --n 60 --size 16x24 --samples-per-shard 8 --workers"
    for place, workers in ((tmp_path / "set", 1), (s3, 2)):
        run(*options.split(), workers, "--out", place)
    assert contents(s3) == contents(tmp_path / "set")
    assert "Rendered 0 images (60 already present)" in run(*options.split(), 1, "--out", s3).stderr
    assert "n is 60, not 61" in run(*options.replace("60", "61").split(), 1, "--out", s3, code=1).stderr
    run("extend", s3, "--n", 70, "--workers", 1)
    run("extend", tmp_path / "set", "--n", 70, "--workers", 1)
    assert contents(s3) == contents(tmp_path / "set")
    run("preview", s3, "--out", tmp_path / "x.png")
    assert "70 in 10 shards" in run("inspect", s3).stdout
    assert run("verify", s3, "--regenerate", 1, "--workers", 1).stdout.splitlines()[-1] == f"{s3}: OK"


def test_a_render_to_a_store_keeps_no_local_copy(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    run("render", "--family", "white-noise", "--n", 4, "--size", "8x8", "--workers", 1, "--out", s3)
    assert os.listdir(tmp_path) == []


def test_publish_prints_a_summary(folder: Path, tmp_path: Path, s3: str):
    assert "4 shards copied, 0 already present" in run("publish", folder, s3).stdout
    assert "0 shards copied, 4 already present" in run("publish", folder, s3).stdout
    assert contents(s3) == contents(folder)


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("verify NOWHERE", 1, "NOWHERE: 1 fault"),
        ("verify SET --regenerate none", 2, "'none' is not valid: pass a number of shards, 1 or more, or all"),
        ("publish NOWHERE OUT", 1, "nowhere does not exist: check the path"),
        ("publish SET ftpx://host/x", 1, "ftpx:// is not supported: use a folder, or s3://"),
        ("inspect FILE", 2, "is a file: pass a folder or a URL"),
        ("preview SET --out OUT.jpg", 2, "must end in .png or .html"),
        ("extend SET --n 50", 1, "already has 100 samples: --n is the total number and cannot be smaller"),
        ("extend NOWHERE --n 50", 1, "nowhere does not exist: check the path"),
    ],
)
def test_invalid_input_is_reported_in_one_line(command: str, code: int, words: str, perlin_set: Path, tmp_path: Path):
    (tmp_path / "file").write_bytes(encode_png(np.zeros((2, 2), np.uint8)))
    places = {"SET": perlin_set, "NOWHERE": tmp_path / "nowhere", "OUT": tmp_path / "out", "FILE": tmp_path / "file"}
    for name, path in places.items():
        command = command.replace(name, str(path))
        words = words.replace(name, str(path))
    result = run(*command.split(), code=code)
    assert words in result.output.splitlines()[-1]
    assert "Traceback" not in result.output
