"""Images of synpat sets and of other tars, from the cache and from the shards, and the errors for corrupt ones."""

import io
import os
import shutil
import tarfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image

from synpat.rendering.render import make_spec, render_set
from synpat.rendering.sampling import sample
from synpat_shards import InputError, publish
from synpat_train.data.decoded_cache import CachedImages
from synpat_train.data.images import Images, describe_widths, pixel_statistics
from synpat_train.data.shard_sets import open_sets
from synpat_train.data.sources import parse_weight
from synpat_train.data.streaming import StreamedImages

CACHE = Path("unused")
"""Folder for shards from a URL."""


def cached(folder: Path, cache: Path, width: int = 208) -> CachedImages:
    return CachedImages(open_sets([str(folder)], 80, CACHE), width, cache)


def read(images: Images, *samples: int, shift: float = 0.0) -> np.ndarray:
    return images.read(np.array(samples), np.full(len(samples), shift))


def test_samples_are_read_by_index(perlin_set: Path, tmp_path: Path):
    expected = np.stack([sample("perlin", 0, i, 80, 208) for i in (99, 0, 37)])
    assert np.array_equal(read(cached(perlin_set, tmp_path), 99, 0, 37), expected)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("width", [208, 160, 240])
def test_streaming_returns_the_same_images_as_the_cache(threads: int, width: int, perlin_set: Path, tmp_path: Path):
    numbers, shifts = np.random.default_rng(0).permutation(100), np.linspace(0, 0.99, 100)
    stream = StreamedImages(open_sets([str(perlin_set)], 80, CACHE), width, threads, skip_damaged=False)
    expected = cached(perlin_set, tmp_path, width).read(numbers, shifts)
    assert np.array_equal(stream.read(numbers, shifts), expected)


def test_wider_images_are_cropped_and_narrower_images_padded(perlin_set: Path, tmp_path: Path):
    image = sample("perlin", 0, 5, 80, 208)
    assert np.array_equal(read(cached(perlin_set, tmp_path, 160), 5, shift=0.5)[0], image[:, 24:184])
    wider = cached(perlin_set, tmp_path, 224)
    padded = read(wider, 5, shift=0.999)[0]
    assert np.array_equal(padded[:, 16:], image)
    assert (padded[:, :16] == wider.fill).all()


def test_second_open_reads_the_existing_cache(perlin_set: Path, tmp_path: Path):
    cached(perlin_set, tmp_path)
    [file] = tmp_path.iterdir()
    written = file.stat().st_mtime_ns
    cached(perlin_set, tmp_path)
    assert [(path, path.stat().st_mtime_ns) for path in tmp_path.iterdir()] == [(file, written)]


@pytest.mark.parametrize("length", [0, 50, 5000])
def test_error_for_corrupt_cache_names_file_and_solution(length: int, perlin_set: Path, tmp_path: Path):
    cached(perlin_set, tmp_path)
    [file] = tmp_path.iterdir()
    os.truncate(file, length)
    with pytest.raises(ValueError, match=r"perlin-\w+\.npy is corrupt: remove it, and the set will be decoded again"):
        cached(perlin_set, tmp_path)


def test_sets_are_concatenated_and_their_statistics_pooled(perlin_set: Path, tmp_path: Path):
    render_set(tmp_path / "noise", make_spec("white-noise", 50), workers=1, progress=lambda *_: None)
    sets = open_sets([str(perlin_set), f"{tmp_path / 'noise'}=2"], 80, CACHE)
    images = CachedImages(sets, 208, tmp_path / "cache").read(np.arange(150), np.zeros(150))
    assert np.array_equal(images[100], sample("white-noise", 0, 0, 80, 208))
    weighted = np.concatenate([images, images[100:]])
    assert pixel_statistics(sets) == pytest.approx((weighted.mean(), weighted.std()))


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Path.unlink, "perlin-000002.tar is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "perlin-000002.tar has 5000 bytes instead of"),
        (flip_a_bit, "perlin-000002.tar is corrupt: its checksum"),
    ],
)
def test_corrupt_set_is_rejected_and_leaves_no_cache(fault, words, perlin_set: Path, tmp_path: Path):
    shutil.copytree(perlin_set, tmp_path / "set")
    fault(tmp_path / "set" / "perlin-000002.tar")
    with pytest.raises(ValueError, match=words):
        cached(tmp_path / "set", tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*"))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Path.unlink, "No such file.*perlin-000002.tar"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "perlin-000002.tar is truncated"),
        (flip_a_bit, "perlin-000002.tar is corrupt at '0000000050': not a valid PNG"),
    ],
)
def test_shard_corrupted_while_streaming_is_named_or_skipped(fault, words, perlin_set: Path, tmp_path: Path):
    shutil.copytree(perlin_set, tmp_path / "set")
    sets = open_sets([str(tmp_path / "set")], 80, CACHE)
    fault(tmp_path / "set" / "perlin-000002.tar")
    numbers, shifts = np.array([50, 3]), np.zeros(2)
    with pytest.raises((ValueError, OSError), match=words):
        StreamedImages(sets, 208, 1, skip_damaged=False).read(numbers, shifts)
    stream = StreamedImages(sets, 208, 1, skip_damaged=True)
    assert np.array_equal(stream.read(numbers, shifts), np.stack([sample("perlin", 0, 3, 80, 208)] * 2))
    assert stream.skipped == 1


def test_error_for_another_height_names_the_solution(perlin_set: Path):
    with pytest.raises(
        ValueError, match=r"contains images of 80x208, .* height of 128: .*--size 128x208, .* height=80"
    ):
        open_sets([str(perlin_set)], 128, CACHE)


def test_error_for_colour_images_names_the_solution(tmp_path: Path):
    spec = make_spec("perlin", 2, height=32, width=32, mode="RGB")
    render_set(tmp_path / "set", spec, workers=1, progress=lambda *_: None)
    with pytest.raises(ValueError, match=r"contains images in mode RGB, .*: render with --mode L"):
        open_sets([str(tmp_path / "set")], 32, CACHE)


def foreign_set(folder: Path, images: dict[str, np.ndarray]) -> Path:
    folder.mkdir()
    with tarfile.open(folder / "any.tar", "w") as tar:
        for name, image in images.items():
            file = io.BytesIO()
            Image.fromarray(image).save(file, {"jpg": "JPEG", "png": "PNG"}[name.rpartition(".")[2]])
            entry = tarfile.TarInfo(name)
            entry.size = file.tell()
            file.seek(0)
            tar.addfile(entry, file)
    return folder


def test_metadata_files_of_macos_are_not_shards(tmp_path: Path):
    folder = foreign_set(tmp_path / "set", {"a.png": np.full((80, 208), 7, np.uint8)})
    (folder / "._any.tar").write_bytes(b"resource fork")
    assert len(open_sets([str(folder)], 80, CACHE)[0]) == 1


def test_truncated_foreign_tar_is_skipped_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture):
    folder = foreign_set(tmp_path / "set", {"a.png": np.full((80, 208), 7, np.uint8)})
    (folder / "other.tar").write_bytes((folder / "any.tar").read_bytes()[:700])
    with pytest.raises(InputError, match=r"other\.tar"):
        open_sets([str(folder)], 80, CACHE)
    assert len(open_sets([str(folder)], 80, CACHE, skip_damaged=True)[0]) == 1
    assert "skipped: " in capsys.readouterr().err


def test_foreign_images_are_converted_to_grey_and_resized(tmp_path: Path):
    rng = np.random.default_rng(0)
    grey, colour = rng.integers(0, 256, (80, 100), np.uint8), rng.integers(0, 256, (40, 50, 3), np.uint8)
    folder = foreign_set(tmp_path / "set", {"a.png": grey, "b.png": colour, "c.jpg": colour})
    images = cached(folder, tmp_path / "cache", 100)
    resized = np.asarray(Image.fromarray(colour).convert("L").resize((100, 80), Image.Resampling.BILINEAR))
    grey_images = read(images, 0, 1, 2)
    assert np.array_equal(grey_images[0], grey)
    assert np.array_equal(grey_images[1], resized)
    assert grey_images[2].std() > 10
    assert np.array_equal(
        read(StreamedImages(open_sets([str(folder)], 80, CACHE), 100, 1, False), 0, 1, 2), grey_images
    )


def ramp(height: int, width: int) -> np.ndarray:
    """Return an image that brightens from left to right."""
    return np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_each_foreign_image_keeps_its_proportions(suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    sizes = [(80, 40), (80, 208), (20, 6000), (160, 832), (240, 60)]
    folder = foreign_set(tmp_path / "set", {f"{n}.{suffix}": ramp(*size) for n, size in enumerate(sizes)})
    [shard_set] = open_sets([str(folder)], 80, CACHE)
    assert shard_set.widths.tolist() == [40, 208, 24000, 416, 20]
    images = cached(folder, tmp_path / "cache")
    read_images = read(images, 0, 1, 2, 3, 4)
    slopes = np.diff(read_images[:, 40].astype(int), axis=1)
    assert slopes[2, 100] < slopes[3, 100] <= slopes[1, 100] + 1 < slopes[0, 10]
    assert (read_images[4][:, 20:] == images.fill).all()
    for shift in (0.0, 0.5, 0.99):
        stream = StreamedImages([shard_set], 208, 1, skip_damaged=False)
        assert np.array_equal(read(images, 4, 2, 0, shift=shift), read(stream, 4, 2, 0, shift=shift))
    assert describe_widths(shard_set, 208) == (
        "2 of 5 images are wider than 208 columns and are cropped at random positions, "
        "2 of 5 images are narrower than 208 columns and are padded"
    )


@pytest.mark.parametrize(("size", "words"), [((6000, 20), "too narrow: no column"), ((1, 900_000), "too wide")])
def test_image_of_extreme_proportions_is_named_or_skipped(size: tuple[int, int], words: str, tmp_path: Path):
    folder = foreign_set(tmp_path / "set", {"a.png": ramp(80, 208), "b.png": ramp(*size)})
    with pytest.raises(InputError, match=rf"any\.tar is corrupt at 'b': .*{words}"):
        cached(folder, tmp_path / "cache")
    sets = open_sets([str(folder)], 80, CACHE)
    assert "1 of 2 images are corrupt, too narrow or too wide" in describe_widths(sets[0], 208)
    stream = StreamedImages(sets, 208, 1, skip_damaged=True)
    assert np.array_equal(read(stream, 0, 1), np.stack([ramp(80, 208)] * 2))
    assert stream.skipped == 1
    shutil.rmtree(folder)
    with pytest.raises(InputError, match=rf"contains no usable image: the first, .*any\.tar at 'b', is .*{words}"):
        open_sets([str(foreign_set(folder, {"b.png": ramp(*size)}))], 80, CACHE)


def test_further_images_of_a_sample_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture):
    grey = ramp(80, 208)
    folder = foreign_set(tmp_path / "set", {"a.png": grey, "a.mask.png": grey, "b.png": grey, "b.jpg": grey})
    assert len(open_sets([str(folder)], 80, CACHE)[0]) == 2
    assert "any.tar: 1 of 3 images are left out, as further images of a sample" in capsys.readouterr().err


def test_corrupt_foreign_image_is_named_or_skipped(tmp_path: Path):
    grey = np.random.default_rng(0).integers(0, 256, (80, 208), np.uint8)
    folder = foreign_set(tmp_path / "set", {"a.png": grey, "b.png": grey})
    tar = folder / "any.tar"
    tar.write_bytes(tar.read_bytes().replace(b"IHDR", b"IHDX", 1))
    with pytest.raises(ValueError, match=r"any\.tar is corrupt at 'a': not a valid PNG"):
        cached(folder, tmp_path / "cache")
    stream = StreamedImages(open_sets([str(folder)], 80, CACHE), 208, 1, skip_damaged=True)
    assert np.array_equal(read(stream, 0, 1), np.stack([grey, grey]))


def test_statistics_of_foreign_images_load_one_image_at_a_time(tmp_path: Path):
    ramp = np.tile(np.arange(250, dtype=np.uint8), (500, 2))
    folder = foreign_set(tmp_path / "set", {f"{number}.png": ramp for number in range(60)})
    tracemalloc.start()
    [shard_set] = open_sets([str(folder)], 80, CACHE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (shard_set.mean, shard_set.std) == pytest.approx((ramp.mean(), ramp.std()))
    assert peak < 60 * ramp.size // 2


def test_weight_is_parsed_and_invalid_weight_rejected():
    assert parse_weight("sets/a=2.5") == ("sets/a", 2.5)
    assert parse_weight("sets/a") == ("sets/a", 1.0)
    with pytest.raises(ValueError, match="the weight must be a positive number up to 1,000, got '0'"):
        parse_weight("sets/a=0")


def test_equals_sign_in_a_folder_name_is_not_a_weight(tmp_path: Path):
    (tmp_path / "lr=2").mkdir()
    assert parse_weight(str(tmp_path / "lr=2")) == (str(tmp_path / "lr=2"), 1.0)


@pytest.fixture
def url(perlin_set: Path) -> Iterator[str]:
    """Publish the set to an in-memory store."""
    location = "memory://bucket/perlin"
    publish(perlin_set, location)
    yield location
    fsspec.filesystem("memory").rm("/bucket", recursive=True)


def test_set_behind_a_url_gives_the_same_images(url: str, perlin_set: Path, tmp_path: Path):
    sets = open_sets([f"{url}=2"], 80, tmp_path)
    assert sets[0].weight == 2
    expected = read(cached(perlin_set, tmp_path / "local"), 99, 0, 37)
    stream = StreamedImages(sets, 208, 1, skip_damaged=False)
    assert np.array_equal(read(stream, 99, 0, 37), expected)
    assert np.array_equal(read(stream, 99, 0, 37), expected)
    assert np.array_equal(read(CachedImages(sets, 208, tmp_path), 99, 0, 37), expected)
    assert not list(tmp_path.glob("shards/*/*.tar"))  # they are deleted after decoding


def test_tars_behind_a_url_are_read_without_a_manifest(url: str, perlin_set: Path, tmp_path: Path):
    fsspec.filesystem("memory").rm("/bucket/perlin/.synpat", recursive=True)
    expected = read(cached(perlin_set, tmp_path / "local"), 99, 0, 37)
    assert np.array_equal(read(CachedImages(open_sets([url], 80, tmp_path), 208, tmp_path), 99, 0, 37), expected)


def test_least_recently_used_shard_is_deleted_to_free_space(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    *paths, last = [shard.present() for shard in open_sets([url], 80, tmp_path)[0].shards]
    last.unlink()
    for age, path in zip((2, 3, 1), paths, strict=True):
        os.utime(path, (1000 - age, 1000 - age))
    usage = shutil.disk_usage(tmp_path)

    def room_for_three(folder: Path) -> Any:
        return usage._replace(free=0 if len(list(folder.glob("*.tar"))) > 2 else usage.free)

    monkeypatch.setattr("shutil.disk_usage", room_for_three)
    assert open_sets([url], 80, tmp_path)[0].shards[-1].present() == last
    assert sorted(last.parent.glob("*.tar")) == [paths[0], paths[2], last]


def test_full_disk_does_not_delete_the_shards_that_other_threads_read(
    url: str, perlin_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    expected = read(cached(perlin_set, tmp_path / "local"), 99, 0, 37)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage._replace(free=0))
    stream = StreamedImages(open_sets([url], 80, tmp_path), 208, 4, skip_damaged=False)
    assert np.array_equal(read(stream, 99, 0, 37), expected)


def test_error_for_corrupt_shard_behind_a_url_names_it(url: str, tmp_path: Path):
    sets = open_sets([url], 80, tmp_path)
    files = fsspec.filesystem("memory")
    data = bytearray(files.cat_file("/bucket/perlin/perlin-000001.tar"))
    data[1000] ^= 1
    files.pipe_file("/bucket/perlin/perlin-000001.tar", bytes(data))
    with pytest.raises(ValueError, match=r"perlin-000001\.tar is corrupt"):
        read(StreamedImages(sets, 208, 1, skip_damaged=False), 30)
