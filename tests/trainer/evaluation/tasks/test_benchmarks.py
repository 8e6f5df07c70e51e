"""Listing and check of the benchmarks, on small copies with the layout of the downloads."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from synpat_shards import InputError
from synpat_train.audio.front_end import FRONT_ENDS
from synpat_train.evaluation.cli import main
from synpat_train.evaluation.evaluate import Contestant, probe_trials, score
from synpat_train.evaluation.probes.embedding import EmbeddingContext, embed, measure_normalisation, statistics_embedder
from synpat_train.evaluation.protocols import PROTOCOLS, ProbeProtocol
from synpat_train.evaluation.tasks.benchmarks import BENCHMARK_TASKS, BENCHMARKS, read_benchmark
from synpat_train.evaluation.tasks.check import check_copy
from synpat_train.evaluation.tasks.listing import TEST, TRAIN, VALID
from synpat_train.evaluation.tasks.task import Source

KNN = cast(ProbeProtocol, PROTOCOLS["knn"])
Rows = list[tuple[str, str, str]]
"""File, label and part of each clip that a reader should return."""


def write_sound(root: Path, file: str, *, rate: int = 16_000, channels: int = 1, subtype: str = "PCM_16") -> None:
    """Write 0.2 seconds of noise, which depends on the file name."""
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(file.encode()))
    shape = (rate // 5, channels)
    soundfile.write(root / file, rng.uniform(-0.5, 0.5, shape), rate, subtype=subtype)


def write_lines(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def esc50(root: Path) -> Rows:
    rows, lines = [], ["filename,fold,target,category,esc10,src_file,take"]
    for fold in "12345":
        for target, category, esc10 in ((0, "dog", "True"), (3, "cow", "False"), (1, "rooster", "True")):
            name = f"{fold}-100032-A-{target}.wav"
            write_sound(root, f"audio/{name}", rate=44_100)
            lines.append(f"{name},{fold},{target},{category},{esc10},100032,A")
            rows.append((f"audio/{name}", category, fold))
    write_lines(root / "meta" / "esc50.csv", lines)
    return rows


def esc10(root: Path) -> Rows:
    return [row for row in esc50(root) if row[1] != "cow"]


def us8k(root: Path) -> Rows:
    rows, lines = [], ["slice_file_name,fsID,start,end,salience,fold,classID,class"]
    kinds = [(44_100, 2, "PCM_24"), (8_000, 1, "PCM_U8"), (96_000, 2, "PCM_16"), (48_000, 1, "FLOAT")]
    for fold in range(1, 11):
        for number, label in enumerate(("siren", "drilling")):
            rate, channels, subtype = kinds[(fold + number) % len(kinds)]
            name = f"{fold}00-{number}.wav"
            write_sound(root, f"audio/fold{fold}/{name}", rate=rate, channels=channels, subtype=subtype)
            lines.append(f"{name},1,0,4,1,{fold},{number},{label}")
            rows.append((f"audio/fold{fold}/{name}", label, str(fold)))
    write_lines(root / "metadata" / "UrbanSound8K.csv", lines)
    return rows


def spcv2(root: Path) -> Rows:
    rows = []
    for word in ("yes", "no"):
        for number in range(6):
            rows.append(
                (f"{word}/{number:08x}_nohash_0.wav", word, TRAIN if number < 3 else VALID if number < 4 else TEST)
            )
            write_sound(root, rows[-1][0])
    write_sound(root, "_background_noise_/pink_noise.wav")
    write_lines(root / "validation_list.txt", [file for file, _, part in rows if part == VALID])
    write_lines(root / "testing_list.txt", [file for file, _, part in rows if part == TEST])
    return sorted(rows)


def voxceleb1(root: Path) -> Rows:
    rows, lines = [], []
    for speaker in ("id10001", "id10002"):
        for number, part in enumerate((TRAIN, TRAIN, VALID, TEST)):
            file = f"{speaker}/x{number}/00001.wav"
            write_sound(root, f"wav/{file}")
            lines.append(f"{(TRAIN, VALID, TEST).index(part) + 1} {file}")
            rows.append((f"wav/{file}", speaker, part))
    write_lines(root / "iden_split.txt", lines)
    return rows


def nsynth(root: Path) -> Rows:
    rows = []
    for part in (TRAIN, VALID, TEST):
        examples = {
            f"{family}_{part}_{n}": {"instrument_family_str": family} for family in ("bass", "reed") for n in (0, 1)
        }
        for name, example in examples.items():
            rows.append((f"nsynth-{part}/audio/{name}.wav", example["instrument_family_str"], part))
            write_sound(root, rows[-1][0])
        write_lines(root / f"nsynth-{part}" / "examples.json", [json.dumps(examples)])
    return rows


def fsdd(root: Path) -> Rows:
    rows = []
    for digit in "01":
        for number in (0, 4, 5, 49):
            rows.append((f"recordings/{digit}_theo_{number}.wav", digit, TEST if number < 5 else TRAIN))
            write_sound(root, rows[-1][0], rate=8_000)
    return sorted(rows)


def gtzan(root: Path) -> Rows:
    """Write .au files, the filtered lists, and the clip that is corrupt in every copy."""
    rows, lists = [], {TRAIN: [], VALID: [], TEST: []}
    for genre in ("blues", "jazz"):
        for number, part in enumerate((TRAIN, TRAIN, VALID, TEST)):
            stem = f"{genre}.{number:05d}"
            write_sound(root, f"genres/{genre}/{stem}.au", rate=22_050)
            lists[part].append(f"{genre}/{stem}.wav")
            rows.append((f"genres/{genre}/{stem}.au", genre, part))
    write_lines(root / "genres" / "jazz" / "jazz.00054.wav", ["no sound"])
    for part, names in lists.items():
        write_lines(root / f"{part}_filtered.txt", names)
    return sorted(rows, key=lambda row: (TRAIN, VALID, TEST).index(row[2]))


def fsd50k(root: Path) -> Rows:
    rows = []
    dev, test = ["fname,labels,mids,split"], ["fname,labels,mids"]
    for number, part in enumerate((TRAIN, VALID)):
        dev.append(f'{number},"Bark,Dog",/m/1,{"val" if part == VALID else part}')
        rows.append((f"FSD50K.dev_audio/{number}.wav", "Bark,Dog", part))
    test.append('7,"Dog",/m/2')
    rows.append(("FSD50K.eval_audio/7.wav", "Dog", TEST))
    for file, _, _ in rows:
        write_sound(root, file, rate=44_100)
    write_lines(root / "FSD50K.ground_truth" / "dev.csv", dev)
    write_lines(root / "FSD50K.ground_truth" / "eval.csv", test)
    return rows


def as20k(root: Path) -> Rows:
    """Write a video with a Y before its name, one whose own name begins with Y, and a list with a missing video."""
    header = [
        "# Segments csv created Sun Mar  5 10:54:31 2017",
        "# num_ytids=3",
        "# YTID, start_seconds, end_seconds, labels",
    ]
    train = ['-0RWZT-miFs, 420.000, 430.000, "/m/03v3yw,/m/0k4j"', 'YxxxxxxxxxZ, 30.000, 40.000, "/m/04rlf"']
    write_lines(root / "balanced_train_segments.csv", [*header, *train, 'gone_______, 0.000, 10.000, "/m/04rlf"'])
    write_lines(root / "eval_segments.csv", [*header, 'abcdefghijk, 0.000, 10.000, "/m/04rlf"'])
    rows = [
        ("balanced_train_segments/Y-0RWZT-miFs.wav", "/m/03v3yw,/m/0k4j", TRAIN),
        ("balanced_train_segments/YxxxxxxxxxZ_30.wav", "/m/04rlf", TRAIN),
        ("eval_segments/x/abcdefghijk_0.wav", "/m/04rlf", TEST),
    ]
    for file, _, _ in rows:
        write_sound(root, file)
    return rows


def evar_list(task: str, files: Sequence[tuple[str, str]]) -> Callable[[Path], Rows]:
    """Return a function that writes a data set with a copy of the benchmark's list."""

    def build(root: Path) -> Rows:
        parts = [TRAIN, VALID, TEST]
        rows = [(file, label, parts[number % 3]) for number, (file, label) in enumerate(files)]
        for file, _, _ in rows:
            write_sound(root, file)
        write_lines(root / f"{task}.csv", ["file_name,label,split", *map(",".join, rows), "elsewhere.wav,a,"])
        return rows

    return build


CREMAD = [(f"{speaker}_DFA_{emotion}_XX.wav", emotion) for emotion in ("ANG", "HAP") for speaker in range(1001, 1013)]
SURGE = [(f"bass{n}-velocity64/{midi}.ogg", midi) for midi in ("60", "100") for n in range(12)]
VOXFORGE = [(f"{language}/ann-{n}/wav/a.wav", language) for language in ("de", "en") for n in range(12)]

BUILDERS: dict[str, Callable[[Path], Rows]] = {
    **{build.__name__: build for build in (esc50, us8k, spcv2, voxceleb1, nsynth, gtzan, as20k, fsd50k, esc10, fsdd)},
    "cremad": evar_list("cremad", CREMAD),
    "surge": evar_list("surge", [(file.replace(".ogg", ".wav"), label) for file, label in SURGE]),
    "voxforge": evar_list("voxforge", VOXFORGE),
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_download_is_listed_with_its_labels_and_official_parts(name: str, tmp_path: Path):
    if name == "surge":
        (tmp_path / "x-velocity64").mkdir()
        (tmp_path / "x-velocity64" / "21.ogg").touch()
    expected = BUILDERS[name](tmp_path)
    root, listing = read_benchmark(name, tmp_path)
    assert root == tmp_path
    assert list(zip(listing.files, listing.labels, listing.parts, strict=True)) == expected
    assert not listing.own_split


@pytest.mark.parametrize("name", BENCHMARK_TASKS)
def test_parent_folder_of_the_download_is_accepted(name: str, tmp_path: Path):
    usual = BENCHMARKS[name].names[0]
    if name == "surge":
        (tmp_path / usual / "x-velocity64").mkdir(parents=True)
        (tmp_path / usual / "x-velocity64" / "21.ogg").touch()
    BUILDERS[name](tmp_path / usual)
    assert read_benchmark(name, tmp_path)[0] == tmp_path / usual


def test_task_reads_all_sample_rates_bit_depths_and_channels(tmp_path: Path):
    us8k(tmp_path)
    task = BENCHMARK_TASKS["us8k"](Source(data=tmp_path, cache=tmp_path / "cache"))()
    assert len(task.recordings) == 20
    assert all(abs(length - 3200) <= 1 for length in task.recordings.lengths)
    assert [split.name for split in task.splits] == [str(fold) for fold in range(1, 11)]


@pytest.mark.parametrize("name", BENCHMARK_TASKS)
def test_every_benchmark_is_probed_and_scored_by_its_metric(name: str, tmp_path: Path):
    """Features are the statistics of log-mels. The audio is noise, so the value of the score is not checked."""
    if name == "surge":
        (tmp_path / "x-velocity64").mkdir()
        (tmp_path / "x-velocity64" / "21.ogg").touch()
    BUILDERS[name](tmp_path)
    task = BENCHMARK_TASKS[name](Source(data=tmp_path, cache=tmp_path / "cache"))()
    front_end = FRONT_ENDS[80]
    statistics = statistics_embedder(front_end)
    normalisation = measure_normalisation(task.recordings, task.training_clips, front_end, device="cpu", what="test")
    batches = [np.array([clip]) for clip in range(len(task.files))]
    context = EmbeddingContext(front_end=front_end, normalisation=normalisation, unit=task.unit, device="cpu")
    embedded = embed(task.recordings, [statistics], context, batches, "")
    features = np.concatenate([features_of_clip for (features_of_clip,) in embedded])
    contestant = Contestant(name="statistics", embedder=statistics, encoder=None, kept=tmp_path)
    trials = probe_trials(task, [contestant], context, KNN, lambda *_: [features])
    scores = score(task, trials, [each.scores() for each in trials])["statistics"]
    assert scores.metric == BENCHMARKS[name].metric
    assert scores.tested == [len(split.test) for split in task.splits]
    assert 0 <= scores.interval.low <= scores.value <= scores.interval.high <= 1
    assert (task.recordings.lengths <= task.unit).all()


def test_multi_label_task_is_scored_by_map_and_reports_classes_without_test_clips(run, tmp_path: Path):
    as20k(tmp_path)
    arguments = ["--task", "as20k", "--data", str(tmp_path), "--cache", str(tmp_path / "cache"), "--protocol", "knn"]
    done = CliRunner().invoke(main, ["--encoder", str(run), *arguments, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "| as20k (knn) | mAP    | encoder " in done.output
    assert "as20k: 2 classes have no test clip and are not scored" in done.output
    task = json.loads((tmp_path / "out" / "results.json").read_text())["tasks"]["as20k (knn)"]
    assert task["classes"] == 3
    assert task["classes_without_test"] == ["/m/03v3yw", "/m/0k4j"]
    assert task["unassigned"] == 1


@pytest.mark.parametrize(
    ("name", "files", "group"),
    [
        ("cremad", CREMAD, lambda file: file[:4]),
        ("surge", SURGE, lambda file: file.split("/")[0]),
        ("voxforge", VOXFORGE, lambda file: file.rsplit("/", 2)[0]),
    ],
)
def test_own_split_keeps_each_group_in_one_part_and_is_marked(
    name: str, files: list[tuple[str, str]], group: Callable[[str], str], tmp_path: Path
):
    for file, _ in files:
        write_sound(tmp_path, file, subtype="VORBIS" if file.endswith(".ogg") else "PCM_16")
    _, listing = read_benchmark(name, tmp_path)
    assert listing.own_split
    assert set(listing.parts) == {TRAIN, VALID, TEST}
    assert dict(zip(listing.files, listing.labels, strict=True)) == dict(files)
    parts: dict[str, set[str]] = {}
    for file, part in zip(listing.files.tolist(), listing.parts.tolist(), strict=True):
        parts.setdefault(group(file), set()).add(part)
    assert all(len(each) == 1 for each in parts.values())
    again = read_benchmark(name, tmp_path)[1]
    assert again.parts.tolist() == listing.parts.tolist()


def test_check_finds_missing_unreadable_duplicate_and_resampled_files(tmp_path: Path):
    rows = esc50(tmp_path)
    files = [tmp_path / file for file, _, _ in rows]
    files[0].unlink()
    files[1].write_bytes(b"no sound")
    files[3].write_bytes(files[2].read_bytes())
    write_sound(tmp_path, rows[4][0], rate=48_000)
    copy = check_copy("esc50", tmp_path)
    assert list(copy.missing) == [rows[0][0]]
    assert list(copy.unreadable) == [rows[1][0]]
    assert list(copy.duplicates) == [(rows[2][0], rows[3][0])]
    assert copy.rates == {44_100: 12, 48_000: 1}
    run = CliRunner().invoke(main, ["check", "esc50", "--data", str(tmp_path)])
    assert run.exit_code == 1
    for text in ("15 clips are listed, expected 2,000", "missing: ", "unreadable: ", "48000 Hz", "not comparable"):
        assert text in run.output


def test_missing_videos_are_counted(tmp_path: Path):
    as20k(tmp_path)
    run = CliRunner().invoke(main, ["check", "as20k", "--data", str(tmp_path)])
    assert "1 clips are left out" in run.output
    assert "report the counts with a result" in run.output


def test_complete_copy_passes_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rows = fsdd(tmp_path)
    small = replace(BENCHMARKS["fsdd"], counts={TRAIN: 4, TEST: 4}, classes=2)
    monkeypatch.setitem(BENCHMARKS, "fsdd", small)  # pyright: ignore[reportArgumentType]
    run = CliRunner().invoke(main, ["check", "fsdd", "--data", str(tmp_path)])
    assert (run.exit_code, len(rows)) == (0, 8), run.output
    assert "OK: complete, as published" in run.output


@pytest.mark.parametrize("linked", ["genres", "genres/blues", "genres/jazz"])
def test_folders_that_are_links_are_followed(linked: str, tmp_path: Path):
    rows = gtzan(tmp_path / "gtzan")
    folder = tmp_path / "gtzan" / linked
    (tmp_path / "other-disk").mkdir()
    shutil.move(folder, tmp_path / "other-disk" / "moved")
    folder.symlink_to(tmp_path / "other-disk" / "moved")
    (tmp_path / "gtzan" / "genres" / "loop").symlink_to("..")
    _, listing = read_benchmark("gtzan", tmp_path / "gtzan")
    assert list(zip(listing.files, listing.labels, listing.parts, strict=True)) == rows


def test_link_to_nothing_is_an_error_and_a_missing_class_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture):
    for file, _ in VOXFORGE:
        write_sound(tmp_path, file)
    (tmp_path / "fr").symlink_to("/nowhere/fr")
    with pytest.raises(
        InputError, match="fr is a link to /nowhere/fr, which does not exist: mount its disk, or remove"
    ):
        read_benchmark("voxforge", tmp_path)
    (tmp_path / "fr").unlink()
    (tmp_path / "fr").mkdir()
    BENCHMARK_TASKS["voxforge"](Source(data=tmp_path, cache=tmp_path / "cache"))
    assert "2 classes are found, expected 6: see synpat-eval check voxforge" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "file", "line", "words"),
    [
        ("fsdd", "recordings/test.wav", "", r"recordings/test.wav is not named DIGIT_SPEAKER_NUMBER: move it"),
        (
            "voxceleb1",
            "iden_split.txt",
            "4 id1/x/1.wav",
            r"iden_split.txt, line 1, must contain a part, 1, 2 or 3, and",
        ),
        ("as20k", "eval_segments.csv", "abc", r"eval_segments.csv, line 1, must contain a video, its start, its end"),
        ("nsynth", "nsynth-test/examples.json", "{", r"nsynth-test/examples.json, line 2, is not valid JSON"),
        (
            "fsd50k",
            "FSD50K.ground_truth/eval.csv",
            "a,b",
            r"eval.csv has no column fname and no column labels; it has a",
        ),
    ],
)
def test_a_broken_list_is_an_error_that_names_file_and_line(
    name: str, file: str, line: str, words: str, tmp_path: Path
):
    BUILDERS[name](tmp_path)
    write_lines(tmp_path / file, [line])
    with pytest.raises(InputError, match=words):
        read_benchmark(name, tmp_path)


def test_files_that_do_not_fit_the_layout_are_counted(tmp_path: Path):
    for file, _ in CREMAD:
        write_sound(tmp_path, file)
    write_sound(tmp_path, "noise.wav")
    assert read_benchmark("cremad", tmp_path)[1].unassigned == 1


def test_error_for_wrong_folder_names_the_searched_and_the_existing_files(tmp_path: Path):
    write_lines(tmp_path / "holiday.txt", ["sun"])
    with pytest.raises(ValueError, match=r"searched for meta/esc50.csv in it and in ESC-50-master.* holiday.txt"):
        read_benchmark("esc50", tmp_path)


def test_table_of_tasks_has_every_benchmark_with_its_licence():
    table = json.loads(CliRunner().invoke(main, ["tasks", "--json"]).stdout)
    text = CliRunner().invoke(main, ["tasks"]).stdout
    for name, benchmark in BENCHMARKS.items():
        assert table[name]["content"] == benchmark.measures
        assert table[name]["licence"] == benchmark.licence
        assert f"\n{name} " in text
