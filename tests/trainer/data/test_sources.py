"""Paths and URLs of training data with braces, globs and weights, and the errors for what they do not contain."""

import gzip
import lzma
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from synpat_shards import InputError, publish
from synpat_train.data.shard_sets import open_sets
from synpat_train.data.sources import Source, resolve


@pytest.fixture
def sets(perlin_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with the sets sets/a and sets/b, and the tars x-000.tar to x-002.tar."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        shutil.copytree(perlin_set, tmp_path / "sets" / name)
    for number in range(3):
        shutil.copy(perlin_set / f"perlin-00000{number}.tar", tmp_path / f"x-00{number}.tar")
    return tmp_path


def names(*given: str) -> list[tuple[str, float, tuple[str, ...]]]:
    return [(source.name, source.weight, source.tars) for source in resolve(given)]


TARS = ("x-000.tar", "x-001.tar", "x-002.tar")


@pytest.mark.parametrize("given", [["x-{000..002}.tar"], ["*.tar"], list(TARS), ["x-000.tar", "x-00{1,2}.tar"]])
def test_tars_are_one_set_however_they_are_given(given: list[str], sets: Path):
    [source] = resolve(given)
    assert source.tars == TARS
    assert source.name == (given[0] if len(given) == 1 else "x-000.tar and 2 more")
    [shard_set] = open_sets(given, 80, sets)
    [expected] = open_sets(list(TARS), 80, sets)
    assert (shard_set.digest, len(shard_set)) == (expected.digest, 75)


def test_folders_are_one_set_each(sets: Path):
    expected = [("sets/a", 1.0, ()), ("sets/b", 1.0, ())]
    assert names("sets/*") == names("sets/{a,b}") == names("sets/a", "sets/b") == expected
    assert names("sets/*/") == [("sets/a/", 1.0, ()), ("sets/b/", 1.0, ())]
    assert [s.digest for s in open_sets(["sets/*"], 80, sets)] == [
        s.digest for s in open_sets(["sets/a"], 80, sets)
    ] * 2


def test_a_weight_applies_to_everything_that_a_pattern_matches(sets: Path):
    assert names("sets/*=2") == [("sets/a", 2.0, ()), ("sets/b", 2.0, ())]
    assert names("x-{000..001}.tar=0.5", "x-002.tar") == [
        ("x-{000..001}.tar", 0.5, TARS[:2]),
        ("x-002.tar", 1.0, TARS[2:]),
    ]
    Path("family=perlin").mkdir()
    shutil.copy("x-000.tar", "family=perlin")
    assert names("family=perlin/*.tar") == [("family=perlin/*.tar", 1.0, ("family=perlin/x-000.tar",))]


@pytest.mark.parametrize("name", ["x{1,2}", "x*", "x[1]", "x{", "x {..}"])
def test_special_characters_in_the_name_of_a_folder_are_no_pattern(name: str, sets: Path):
    Path(name).mkdir()
    assert resolve([name]) == [Source(name=name, weight=1.0)]
    with pytest.raises(InputError, match=re.escape(f"{name} is empty")):
        open_sets([name], 80, sets)


def test_other_files_that_a_glob_matches_are_reported(sets: Path, capsys: pytest.CaptureFixture):
    for folder in (".cache", "lost+found"):
        Path("sets", folder).mkdir()
    Path("sets", "render.log").touch()
    assert len(resolve(["sets/*"])) == 2
    assert "sets/render.log: passed over, because it is neither a shard set nor a tar" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("sets", r"^sets is not a shard set, but contains the sets a, b: pass sets/a, or another one$"),
        ("sets/perlin", r"^sets/perlin does not exist. The sets next to it are a, b$"),
        ("empty", r"^empty is empty: it contains no shard set$"),
        ("photos", r"^photos has no .synpat/manifest.json: it is not a shard set. It contains holiday.jpg$"),
        ("x-{000..003}.tar", r"^x-003.tar does not exist, or is not a file: \. contains the tars x-000.tar, x-001.tar"),
        ("y-*.tar", r"^y-\*.tar matches no folder and no tar: check the path$"),
        ("sets/a/*.json", r"matches no folder and no tar, only sets/a/_info.json, sets/a/sizes.json: check the path$"),
        ("sets/a/README.md", r"README.md is a file: pass the folder or the URL of a shard set$"),
        ("x-{1..9999999999}.tar", r"braces may stand for at most 100,000 names$"),
    ],
)
def test_each_fault_is_named(given: str, words: str, sets: Path):
    Path("empty").mkdir()
    Path("photos").mkdir()
    Path("photos", "holiday.jpg").touch()
    with pytest.raises(InputError, match=words):
        open_sets([given], 80, sets)


@pytest.mark.parametrize(
    ("compress", "name", "words"),
    [
        (gzip.compress, "y.tar", r"y.tar is compressed: decompress it first with gunzip"),
        (lzma.compress, "y.tar", r"y.tar is compressed: decompress it first with unxz"),
        (gzip.compress, "y.tar.gz", r"y.tar.gz is not a .tar: decompress it first"),
    ],
)
def test_a_compressed_tar_is_reported(compress, name: str, words: str, sets: Path):
    Path(name).write_bytes(compress(Path("x-000.tar").read_bytes()))
    with pytest.raises(InputError, match=words):
        open_sets([name], 80, sets)


@pytest.fixture
def url(perlin_set: Path) -> Iterator[str]:
    """Publish the set twice to an in-memory store."""
    for name in ("a", "b"):
        publish(perlin_set, f"memory://bucket/sets/{name}")
    yield "memory://bucket/sets"
    fsspec.filesystem("memory").rm("/bucket", recursive=True)


def test_patterns_match_at_urls_too(url: str, perlin_set: Path, tmp_path: Path):
    assert names(f"{url}/*=2") == names(f"{url}/{{a,b}}=2") == [(f"{url}/a", 2.0, ()), (f"{url}/b", 2.0, ())]
    [tars] = open_sets([f"{url}/a/*.tar"], 80, tmp_path)
    [local] = open_sets([f"{perlin_set}/*.tar"], 80, tmp_path)
    assert (tars.digest, len(tars)) == (local.digest, 100)
    with pytest.raises(InputError, match=f"{url} is not a shard set, but contains the sets a, b"):
        open_sets([url], 80, tmp_path)
    with pytest.raises(InputError, match=rf"{url}/c\* matches no folder and no tar: check the path"):
        open_sets([f"{url}/c*"], 80, tmp_path)
    with pytest.raises(OSError, match=r"perlin-000009.tar does not exist"):
        open_sets([f"{url}/a/perlin-000009.tar"], 80, tmp_path)
