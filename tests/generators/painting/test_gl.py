"""GLSL shaders from a folder, with a real OpenGL."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from synpat.cli import main
from synpat.families.shaders import Shaders
from synpat.painting import gl as gl_shaders
from synpat.painting.gl import run_shader, shader_files
from synpat.rendering.sampling import paint
from synpat_shards import decode_png, open_set, read_members

SHADERTOY = """
// The position as a colour.
void mainImage(out vec4 fragColor, in vec2 fragCoord) {
    fragColor = vec4(fragCoord / iResolution.xy, iTime / 10.0, 1.0);
}
"""
PLAIN = """
uniform vec2 resolution;
uniform float time;
void main() { gl_FragColor = vec4(gl_FragCoord.xy / resolution, time / 10.0, 1.0); }
"""
WITH_VERSION = """#version 300 es
precision mediump float;
uniform vec2 u_resolution;
uniform float u_time;
out vec4 colour;
void main() { colour = vec4(gl_FragCoord.xy / u_resolution, u_time / 10.0, 1.0); }
"""
BROKEN = "void mainImage(out vec4 c, in vec2 p) {\n    c = vec3(1.0);\n}\n"


@pytest.fixture(autouse=True)
def opengl() -> None:
    try:
        gl_shaders._context()
    except (ModuleNotFoundError, ValueError) as missing:
        pytest.skip(str(missing))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    for name, source in (("a.glsl", SHADERTOY), ("b.frag", PLAIN), ("c.fs", WITH_VERSION), ("notes.txt", "none")):
        (tmp_path / "mine" / name).write_text(source)
    return tmp_path / "mine"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.mark.parametrize("name", ["a.glsl", "b.frag", "c.fs"])
def test_every_dialect_receives_position_and_time_and_gives_the_top_row_first(name: str, folder: Path):
    image = run_shader(folder / name, 4.0, 20, 50).astype(float) / 255
    assert image.shape == (20, 50, 3)
    assert np.abs(image[..., 0] - (np.arange(50) + 0.5) / 50).max() < 0.01
    assert np.abs(image[..., 1] - ((np.arange(20)[::-1] + 0.5) / 20)[:, None]).max() < 0.01
    assert np.abs(image[..., 2] - 0.4).max() < 0.01


def test_each_file_is_a_class_in_the_order_of_names(folder: Path):
    given = {"folder": str(folder)}
    assert Shaders.categories_with(given) == 3
    painted = [paint("shaders", 0, index, 8, 8, parameters=given) for index in range(4)]
    assert [sample.category for sample in painted] == [0, 1, 2, 0]
    assert 0.1 <= painted[1].parameters["time"] <= 10


def test_a_pattern_of_a_folder_survives_json(folder: Path):
    painted = paint("shaders", 0, 1, 8, 12, mode="RGB", parameters={"folder": str(folder)})
    again = Shaders(**json.loads(json.dumps(painted.parameters)))
    assert np.array_equal(again.render(np.random.default_rng(9), 8, 12), painted.image)


def test_a_set_of_shaders_records_their_folder_and_checksum(folder: Path, tmp_path: Path):
    options = ("--n", 6, "--samples-per-shard", 2, "--size", "8x12", "--workers", 2, "--mode", "RGB")
    result = run("render", "--family", "shaders", "--param", f"folder={folder}", *options, "--out", tmp_path / "set")
    assert result.exit_code == 0, result.stderr
    manifest = open_set(tmp_path / "set")
    assert manifest.spec.categories == 3
    assert manifest.spec.parameters == {"folder": str(folder), "sha256": shader_files(str(folder))[1]}
    path = tmp_path / "set" / manifest.shards[2].file
    png = next(member for member in read_members(path) if member.key == "0000000005" and member.extension == "png")
    image = decode_png(path.read_bytes()[png.offset : png.offset + png.size])
    given = manifest.spec.parameters
    assert np.array_equal(image, paint("shaders", 0, 5, 8, 12, mode="RGB", parameters=given).image)


def test_changed_shaders_are_rejected(folder: Path):
    given = Shaders.resolved_parameters({"folder": str(folder)})
    pattern = Shaders(**paint("shaders", 0, 0, 8, 8, parameters=given).parameters)
    (folder / "a.glsl").write_text(SHADERTOY + "\n")
    shader_files.cache_clear()
    with pytest.raises(ValueError, match="have changed since the set was started"):
        pattern.render(np.random.default_rng(0), 8, 8)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (None, "is not a folder: pass a folder with shaders"),
        ({"a.txt": SHADERTOY}, "contains no shader: file names must end in .glsl, .frag, .fs"),
        ({"a.glsl": SHADERTOY, "b.glsl": BROKEN}, "b.glsl does not compile: "),
        ({"b.glsl": BROKEN}, "0:2("),
        ({"b.frag": PLAIN.replace("void main", "void mean")}, "b.frag does not compile: "),
    ],
)
def test_an_invalid_folder_is_reported_before_any_file_is_written(
    files: dict[str, str] | None, words: str, tmp_path: Path
):
    folder = tmp_path / "mine"
    if files is not None:
        folder.mkdir()
        for name, source in files.items():
            (folder / name).write_text(source)
    result = run("render", "--family", "shaders", "--param", f"folder={folder}", "--n", 2, "--out", tmp_path / "set")
    assert result.exit_code == 1
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "set").exists()


def test_a_category_without_a_file_is_rejected(folder: Path, tmp_path: Path):
    options = ("--param", f"folder={folder}", "--param", "category=3")
    result = run("show", "--family", "shaders", *options, "--out", tmp_path / "x.png")
    assert result.stderr == "Error: category must be between 0 and 2, got 3\n"


def test_without_moderngl_the_error_names_the_extra(folder: Path):
    code = (
        "import sys; sys.modules['moderngl'] = None; sys.argv[0] = 'synpat'\n"
        f"sys.argv[1:] = 'render --family shaders --param folder={folder} --n 1 --out x'.split()\n"
        "from synpat.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "Error: shaders from a folder need moderngl, which is not installed: pip install 'synpat[gl]'\n"
    )
