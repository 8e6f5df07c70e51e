"""Rendering of sets: the bytes depend only on the specification."""

import filecmp
from dataclasses import replace
from pathlib import Path

import pytest

from synpat.rendering.local_engine import local_engine
from synpat.rendering.render import make_spec, render_set, render_sets, render_shard
from synpat.rendering.sampling import paint
from synpat_shards import begin_set, decode_png, open_store, read_manifest, read_members

SPEC = make_spec("perlin", 50, height=16, width=24, samples_per_shard=8)


def quiet(*_: object) -> None:
    pass


def same(left: Path, right: Path) -> bool:
    """Return True if two folders contain the same files with the same bytes."""
    names = [
        sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        for folder in (left, right)
    ]
    return names[0] == names[1] and not any(filecmp.cmpfiles(left, right, names[0], shallow=False)[1:])


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("straight") / "set"
    render_set(folder, SPEC, workers=1, progress=quiet)
    return folder


@pytest.mark.parametrize("workers", [2, 5])
def test_any_number_of_workers_writes_the_same_bytes(workers: int, straight: Path, tmp_path: Path):
    render_set(tmp_path / "set", SPEC, workers=workers, progress=quiet)
    assert same(straight, tmp_path / "set")


def test_a_resumed_run_writes_the_same_bytes(straight: Path, tmp_path: Path):
    begin_set(open_store(tmp_path / "set"), SPEC)
    for number in (4, 0, 2):
        render_shard(open_store(tmp_path / "set"), SPEC, number)
    seen = []
    render_set(
        tmp_path / "set", SPEC, workers=1, progress=lambda record, present: seen.append((record.file[7:13], present))
    )
    assert same(straight, tmp_path / "set")
    assert [name for name, present in seen if present] == ["000000", "000002", "000004"]


def test_rendering_a_finished_set_again_renders_nothing(straight: Path):
    seen = []
    render_set(straight, SPEC, workers=1, progress=lambda _, present: seen.append(present))
    assert seen == [True] * 7


def test_a_corrupt_shard_of_a_finished_set_is_rendered_again(straight: Path, tmp_path: Path):
    render_set(tmp_path / "set", SPEC, workers=1, progress=quiet)
    (tmp_path / "set" / "perlin-000003.tar").write_bytes(b"gone")
    render_set(tmp_path / "set", SPEC, workers=1, progress=quiet)
    assert same(straight, tmp_path / "set")


def test_shards_contain_the_samples_of_their_indices(straight: Path):
    for shard in read_manifest(straight).shards:
        data = (straight / shard.file).read_bytes()
        for member in read_members(straight / shard.file):
            content = data[member.offset : member.offset + member.size]
            painted = paint("perlin", 0, int(member.key), 16, 24)
            if member.extension == "png":
                assert (decode_png(content) == painted.image).all()
            else:
                assert int(content) == painted.category


def test_the_size_of_shards_does_not_change_the_pixels(straight: Path, tmp_path: Path):
    render_set(tmp_path / "set", replace(SPEC, samples_per_shard=50), workers=1, progress=quiet)
    one, many = read_manifest(tmp_path / "set"), read_manifest(straight)
    assert (one.mean, one.std) == pytest.approx((many.mean, many.std))
    members = {m.key: m for m in read_members(tmp_path / "set" / "perlin-000000.tar") if m.extension == "png"}
    assert len(members) == 50


def test_all_invalid_specifications_are_reported_before_any_file_is_written(tmp_path: Path):
    invalid = {"octaves": 99}
    specs = {
        open_store(tmp_path / "noise"): make_spec("white-noise", 4, height=8, width=8),
        open_store(tmp_path / "fractals"): make_spec("fractaldb", 4, height=8, width=4),
        open_store(tmp_path / "perlin"): make_spec("perlin", 4, height=8, width=8, parameters=invalid),
    }
    named = r"fractaldb needs at least 8 .*; perlin: octaves must be between 1 and 16, got 99"
    with local_engine(1) as engine, pytest.raises(ValueError, match=named):
        render_sets(specs, engine, progress=quiet)
    assert not list(tmp_path.iterdir())


def test_a_run_over_several_sets_continues_each_of_them(straight: Path, tmp_path: Path):
    begin_set(open_store(tmp_path / "perlin"), SPEC)
    render_shard(open_store(tmp_path / "perlin"), SPEC, 3)
    noise = make_spec("white-noise", 9, height=4, width=4, samples_per_shard=3)
    seen = []
    specs = {open_store(tmp_path / "perlin"): SPEC, open_store(tmp_path / "noise"): noise}
    with local_engine(2) as engine:
        manifests = render_sets(specs, engine, progress=lambda record, present: seen.append(present))
    assert same(straight, tmp_path / "perlin")
    assert manifests[open_store(tmp_path / "noise")] == read_manifest(tmp_path / "noise")
    assert sorted(seen) == [False] * 9 + [True]
