#!/usr/bin/env python3
"""Measure everything that only a GPU can show, in one call that ends by its own clock.

Each stage runs in a process of its own, writes its rows to results.jsonl as they come, and is killed at its limit: its
share of the time that is left. The table is printed last, whatever failed. docs/performance.md describes how to run it
on a machine without a network.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

BEGAN = time.time()  # before the imports, which take seconds
ROOT = Path(__file__).parents[1]
SOURCES = [str(ROOT / part) for part in ("generators", "shards", "trainer")]
sys.path[:0] = SOURCES
os.environ["PYTHONPATH"] = os.pathsep.join([*SOURCES, *filter(None, [os.environ.get("PYTHONPATH")])])  # for children

try:
    import bench_train
    import click
    import torch
    from kill_training import curve, wait_for

    from synpat.rendering.sampling import paint
    from synpat_shards import available_cores, first_line
    from synpat_train.config import make_config
    from synpat_train.device import uses_bfloat16
    from synpat_train.pretraining.train import pretrain
except ModuleNotFoundError as missing:
    sys.exit(f"{missing.name} is not installed: see docs/performance.md, Measure on a GPU")

RESULTS = "results.jsonl"
"""File in --out with a row for each line."""
RESERVE = 5.0
"""Seconds before the deadline at which the last stage is stopped."""
PROGRAM = "from synpat_programs import {0}; {0}()"
"""Code that runs a command without an installed script. The function is `synpat` or `train`."""
TARGETS = {"msm-mae": 25_000, "audiomae": 2_500}
"""Samples per second of ViT-B at 80x208 and at 128x1024."""
RECORDINGS = {"esc10": None, "fsdd": "speaker_fold", "speech_commands_test12": None}
"""Subfolders of --audio, and the column with the folds; None for the default."""
PEAK_RATES = {"tiny": 1e-3, "small": 1e-3, "base": 5e-4}
"""Peak learning rates of the recipe. Scaling that of ViT-Ti (1e-3 for a batch of 32) linearly to 512 would give 16e-3,
which is far above the rates of He et al., 2022."""
SHARE = 0.9
"""Share of the time for pre-training that its steps take at the measured rate. The rest is for a machine that slows
down, because a stage that is stopped at its limit leaves no encoder."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Amount of work in the stages."""

    shares: Mapping[str, float]
    """Shares of the time of the stages, in their order. What a stage leaves goes to those after it."""
    images: int
    """Soundscape images for pre-training."""
    models: Sequence[str]
    """Models that are pre-trained."""
    batch: int
    """Samples per step of pre-training."""
    trial_steps: int
    """Steps in which the rate of pre-training is measured."""
    probe_seconds: float
    """Seconds that are kept free for the probes of the last model."""
    presets: Sequence[str]
    """Rows of bench_train.py, the most important first."""
    preset_steps: int
    """Training steps for each row."""
    preset_images: int
    """Divisor of the number of images in bench_train.py."""
    patterns: int
    """Images that feature-vis paints in one batch."""
    ascent: str
    """Parameters of feature-vis in a trial, smaller than as published; empty for the published ones."""
    encoder: str
    """Options of train_dead_leaves_encoder.py. The speed of painting does not depend on its training."""
    stylegan: str
    """Parameter of stylegan-random in a trial; empty for the published one."""
    resumed: str
    """Options of the run that is killed and resumed."""
    resumed_steps: int
    oversized: str
    """Options of the run of 128x1024 that does not fit on the GPU."""


GPU = Plan(
    shares={"resume": 14, "memory": 11, "rates": 29, "painting": 11, "pretraining": 35},
    images=200_000,
    models=("small", "base"),
    batch=512,
    trial_steps=60,
    probe_seconds=40,
    presets=("msm-mae", "audiomae", "m2d", "msm-mae, streamed", "audiomae, mask .75"),
    preset_steps=60,
    preset_images=1,
    patterns=64,
    ascent="",
    encoder="--steps 20 --batch-size 64",
    stylegan="",
    resumed="--model small --batch-size 256",
    resumed_steps=200,
    oversized="--preset audiomae --model base --batch-size 4096",
)
TOY = Plan(
    shares={"resume": 25, "memory": 1, "rates": 20, "painting": 20, "pretraining": 35},
    images=64,
    models=("tiny",),
    batch=8,
    trial_steps=2,
    probe_seconds=12,
    presets=("msm-mae",),
    preset_steps=6,
    preset_images=256,
    patterns=2,
    ascent="steps=2 width=4",
    encoder="--steps 1 --batch-size 4 --side 32 --width 4",
    stylegan="width=4",
    resumed="--model tiny --set width=48 --batch-size 8",
    resumed_steps=40,
    oversized="--preset audiomae --model tiny --batch-size 16 --set decoder_width=32 --set decoder_depth=1 "
    "--set decoder_heads=2",
)


@dataclass(frozen=True, kw_only=True)
class Job:
    """The arguments of a stage."""

    out: Path
    audio: Path | None
    toy: bool
    until: float
    """Time of the epoch at which the stage is killed."""
    run: Path | None = None
    """Run folder, for the stage that probes it."""
    stage: str = ""

    @property
    def plan(self) -> Plan:
        return TOY if self.toy else GPU

    @property
    def sets(self) -> Path:
        return self.out / "sets"

    @property
    def cache(self) -> Path:
        return self.sets / "cache"  # as in bench_train.py

    @property
    def seconds(self) -> float:
        """Seconds that are left."""
        return self.until - time.time()

    def write(self, what: str, value: float | None, unit: str = "", *, target: str = "", note: str = "") -> None:
        """Append a row to the results. value: None if nothing was measured, and the note says why."""
        row = {
            "stage": self.stage,
            "what": what,
            "value": value,
            "unit": unit,
            "target": "" if self.toy else target,
            "note": note,
        }
        with (self.out / RESULTS).open("a") as file:
            file.write(json.dumps(row) + "\n")

    def attempt(self, what: str, work: Callable[[], object]) -> None:
        """Do a part of a stage. If it fails, write a row with its error in one line, and continue."""
        try:
            work()
        except Exception as error:  # out of memory, a failed compilation, ...
            traceback.print_exc()  # into the file of the stage
            self.write(what, None, note=f"failed: {type(error).__name__}: {first_line(error)}")


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("gpu-results"),
    show_default=True,
    help="Folder of results.jsonl, of all sets and of all runs. It must not exist.",
)
@click.option(
    "--audio",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with the recordings: esc10, fsdd and speech_commands_test12, each with metadata.csv.  [default: no "
    "probes]",
)
@click.option("--deadline", default=530.0, show_default=True, help="Seconds after which everything has ended.")
@click.option("--toy", is_flag=True, help="Tiny models and few images, to try the script without a GPU.")
@click.option("--stage", hidden=True)
@click.option("--until", type=float, hidden=True)
@click.option("--run", type=click.Path(path_type=Path), hidden=True)
def main(
    out: Path,
    audio: Path | None,
    deadline: float,
    toy: bool,
    stage: str | None,
    until: float | None,
    run: Path | None,
) -> None:
    """Measure rates, painting, resumption, pre-training and the advice on memory on one GPU, and print a table.

    \b
    Examples:
      tools/measure_gpu.py --audio audio
      tools/measure_gpu.py --toy --deadline 60 --out toy
    """
    if stage and until:
        job = Job(out=out.absolute(), audio=audio, toy=toy, until=until, run=run, stage=stage)
        job.attempt("the stage", lambda: STAGES[stage](job))
        return
    if not (toy or torch.cuda.is_available()):
        raise click.ClickException("torch finds no GPU: pass --toy to try the script without one")
    if absent := [name for name in ("soundfile", "soxr", "sklearn") if find_spec(name) is None]:
        raise click.ClickException(f"{absent[0]} is not installed: see docs/performance.md, Measure on a GPU")
    if out.exists():
        raise click.ClickException(f"{out} exists: choose another folder with --out")
    out.mkdir(parents=True)
    (out / RESULTS).touch()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        measure(Job(out=out.absolute(), audio=audio, toy=toy, until=BEGAN + deadline - RESERVE))
    finally:
        print(table(out / RESULTS))


def measure(job: Job) -> None:
    """Run all stages until the time is up. Images for the last stage are rendered beside the others."""
    images = start(job, "images", job.until)
    try:
        rest = sum(job.plan.shares.values())
        for stage, share in job.plan.shares.items():
            if stage == "pretraining":
                finish(job, "images", images, job.until)
            until = time.time() + max(job.seconds, 0) * share / rest
            rest -= share
            log(f"{time.time() - BEGAN:.0f} s: {stage}, at most {until - time.time():.0f} s")
            if stage in NEEDS_GPU and not torch.cuda.is_available():
                replace(job, stage=stage).write("the stage", None, note="skipped: no GPU")
            else:
                finish(job, stage, start(job, stage, until), until)
    finally:
        kill(images)


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# -- processes


def start(job: Job, stage: str, until: float, run: Path | None = None) -> subprocess.Popen[bytes]:
    """Start a stage in another process. What it prints goes to a file."""
    words = ["--out", job.out, "--stage", stage, "--until", repr(until)]
    words += ["--audio", job.audio] if job.audio else []
    words += ["--toy"] if job.toy else []
    words += ["--run", run] if run else []
    with (job.out / f"{stage}.log").open("ab") as file:
        return subprocess.Popen(
            [sys.executable, __file__, *map(str, words)],
            stdout=file,
            stderr=file,
            # The processes that a stage starts end with it.
            start_new_session=not job.stage,
        )


def finish(job: Job, stage: str, process: subprocess.Popen[bytes], until: float) -> None:
    """Wait for a stage until its limit. Write a row if it failed or was stopped."""
    note = ""
    try:
        if process.wait(max(until - time.time(), 0)):
            lines = (job.out / f"{stage}.log").read_text(errors="replace").split("\n")
            note = f"failed: {next(filter(None, reversed(lines)), f'exit code {process.returncode}')}"
    except subprocess.TimeoutExpired:
        note = "stopped at its limit"
    finally:
        kill(process)
    if note:
        replace(job, stage=stage).write("the stage", None, note=note)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and those that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def command(function: str, *words: object) -> list[str]:
    """Return a command of synpat. function: of `synpat_programs`."""
    return [sys.executable, "-c", PROGRAM.format(function), *map(str, words)]


def call(words: Sequence[str]) -> str:
    """Run a command and return what it prints on standard error. Raises RuntimeError with the last line if it fails."""
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(last_line(done.stderr))
    return done.stderr


def last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]


def render(folder: Path, family: str, n: int, *words: object) -> None:
    call(command("synpat", "render", "--family", family, "--n", n, "--out", folder, *words))


def preset_set(job: Job, size: tuple[int, int]) -> Path:
    """Return the set of the size of a preset, after rendering it if necessary."""
    folder, n = bench_train.set_of(job.sets, size), bench_train.SAMPLES[size] // job.plan.preset_images
    render(folder, bench_train.FAMILY, n, "--size", f"{size[0]}x{size[1]}", "--samples-per-shard", max(n // 16, 1))
    return folder


# -- images for pre-training


def images(job: Job) -> None:
    """Render the images for pre-training on all cores, with low priority."""
    os.nice(10)
    began = time.monotonic()
    render(job.sets / "soundscape", "soundscape", job.plan.images)
    seconds = time.monotonic() - began
    note = f"{job.plan.images:,} images in {seconds:.0f} s with compilation, beside the other stages"
    job.write(f"soundscape on {available_cores()} cores", job.plan.images / seconds, "images/s", note=note)


# -- rates of the presets


def rates(job: Job) -> None:
    """Measure the training of the presets and of plain code."""
    for row in sorted(bench_train.ROWS, key=lambda row: [*job.plan.presets, row.name].index(row.name)):
        if row.name in job.plan.presets:
            job.attempt(row.name, lambda row=row: rate(job, row))


def rate(job: Job, row: bench_train.Row) -> None:
    """Write the rows of a preset: samples per second, utilisation, waiting, memory, speed-up."""
    model = job.plan.models[-1]
    config = make_config(row.preset, row.settings)
    preset_set(job, (config.height, config.width))
    config, ours = bench_train.trained(job.sets, row, model, job.plan.preset_steps)
    target = TARGETS.get(row.name)
    name = bench_train.title(row, config)
    job.write(name, ours["samples_per_s"], "samples/s", target=f"{target:,}" if target else "")
    large = (config.height, config.width) != (80, 208)
    job.write(f"{row.name}: utilisation", 100 * ours["mfu"], "%", target="40" if large else "")
    job.write(f"{row.name}: waiting for data", 100 * ours["data_wait"], "%", target="below 3")
    job.write(f"{row.name}: memory", ours["memory_gb"], "GB")
    if "stream" not in row.settings:
        low = uses_bfloat16("auto", bench_train.device())
        precision = torch.bfloat16 if low else torch.float32
        plain, _ = bench_train.plain_rate(config, precision, max(job.plan.preset_steps // 6, 3))
        note = f"plain code in {'AMP bfloat16' if low else 'float32'}: {plain:,.1f} samples/s"
        job.write(
            f"{row.name}: speed-up over plain eager code", ours["samples_per_s"] / plain, "x", target="2.5", note=note
        )


# -- neural families


def painting(job: Job) -> None:
    """Measure the families that are neural networks: feature-vis on the device, stylegan-random on all cores."""
    trial, given = job.plan, parameters(job.plan.ascent)
    device = bench_train.device().type
    for batch in (1, trial.patterns):
        what = f"feature-vis-random, batch {batch}"
        job.attempt(what, lambda what=what, batch=batch: paint_batch(job, what, "random", batch, given))
    encoder = job.out / "encoder.pt"

    def dead_leaves() -> None:
        render(job.sets / "leaves", "dead-leaves-shapes", 256, "--size", "128x128", "--mode", "RGB")
        tool = ROOT / "tools" / "train_dead_leaves_encoder.py"
        options = [*trial.encoder.split(), "--device", device]
        call([sys.executable, str(tool), str(job.sets / "leaves"), str(encoder), *options])
        own = {name: value for name, value in given.items() if name != "width"} | {"encoder": str(encoder)}
        paint_batch(job, what, "dead-leaves", trial.patterns, own)

    what = f"feature-vis-dead-leaves, batch {trial.patterns}"
    job.attempt(what, dead_leaves)
    job.attempt("stylegan-random", lambda: stylegan(job))


def parameters(text: str) -> dict[str, Any]:
    return {name: int(value) for name, _, value in (word.partition("=") for word in text.split())}


def paint_batch(job: Job, what: str, kind: str, batch: int, given: dict[str, Any]) -> None:
    """Write the rate at which a feature-vis family paints one batch, after a short batch in which libraries start."""
    given = given | {"batch": batch, "device": bench_train.device().type}
    paint(f"feature-vis-{kind}", 0, 0, 80, 208, parameters=given | {"steps": 2})
    began = time.monotonic()
    paint(f"feature-vis-{kind}", 0, batch, 80, 208, parameters=given)
    seconds = time.monotonic() - began
    job.write(what, batch / seconds, "images/s", note=f"80x208 on {given['device']}, {seconds:.1f} s a batch")


def stylegan(job: Job) -> None:
    """Write the rate of stylegan-random, which has no code for a GPU."""
    cores = available_cores()
    n = 8 * cores
    began = time.monotonic()
    given = [word for value in job.plan.stylegan.split() for word in ("--param", value)]
    render(job.sets / "stylegan", "stylegan-random", n, "--samples-per-shard", 8, *given)
    seconds = time.monotonic() - began
    note = f"80x208; it has no code for a GPU; {n} images in {seconds:.0f} s with starts and compilation"
    job.write(f"stylegan-random on {cores} cores", n / seconds, "images/s", note=note)


# -- resumption


def resume(job: Job) -> None:
    """Compare the losses of a run that was killed once and resumed with those of an undisturbed run beside it."""
    shards, steps = job.sets / "resume", job.plan.resumed_steps
    render(shards, "perlin", 256 if job.toy else 4096)
    straight, killed = job.out / "straight", job.out / "killed"
    every = steps // 5
    options = f"--steps {steps} --set checkpoint_every={every} --set log_every=1 {job.plan.resumed}"

    def train(run: Path) -> subprocess.Popen[str]:
        words = command("train", "--shards", shards, "--cache", job.cache, "--out", run, *options.split())
        with messages_of(run).open("a") as file:
            return subprocess.Popen(words, stderr=file, text=True)

    undisturbed, process = train(straight), train(killed)
    wait_for(killed, steps // 4, process)
    if process.poll() is not None:
        raise RuntimeError(f"the run ended before it was killed: {last_line(messages_of(killed).read_text())}")
    process.kill()
    process.wait()
    before = curve(killed)[-1][0] // every * every  # the last checkpoint
    for run, each in ((killed, train(killed)), (straight, undisturbed)):
        if each.wait():
            raise RuntimeError(last_line(messages_of(run).read_text()))
    pairs = list(zip(curve(straight), curve(killed), strict=True))
    for what, chosen in (("before SIGKILL", pairs[:before]), ("after resumption", pairs[before:])):
        difference = max(abs(ours[1] / theirs[1] - 1) for theirs, ours in chosen)
        note = f"maximum over {len(chosen)} of {steps} steps, on {bench_train.device().type}"
        job.write(f"relative difference of losses {what}", difference, note=note)


def messages_of(run: Path) -> Path:
    """Return the file with what the command of a run prints."""
    return run.with_name(f"{run.name}.log")


# -- memory


def memory(job: Job) -> None:
    """Start a training with a batch that is far too large, and continue with the advice that it gives."""
    shards, run = preset_set(job, (128, 1024)), job.out / "oversized"
    # Eager code, because the advice is measured with it and two compilations take long.
    options = f"{job.plan.oversized} --steps 2 --set compile=false --set log_every=1"
    words = command("train", "--shards", shards, "--cache", job.cache, "--out", run, *options.split())
    refused = subprocess.run(words, capture_output=True, text=True)
    advice = re.search(r"--set accumulate=(\d+)", refused.stderr)
    if not (refused.returncode and advice):
        raise RuntimeError(f"no advice: {last_line(refused.stderr)}")
    job.write("advice on accumulate after out of memory", int(advice[1]), note=last_line(refused.stderr))
    call([*words, *advice[0].split()])
    held = json.loads((run / "log.jsonl").read_text().splitlines()[-1])["memory_gb"]
    job.write(f"memory with {advice[0]}", held, "GB", note=f"it fits: 2 steps of {job.plan.oversized}, eager code")


# -- pre-training


def pretraining(job: Job) -> None:
    """Pre-train each model for its share of the time. The probes of a model run beside the next one."""
    probing = []
    for number, model in enumerate(job.plan.models):
        left = job.seconds - (job.plan.probe_seconds if job.audio else 0)
        run = job.out / f"run-{model}"
        seconds = left / (len(job.plan.models) - number)
        job.attempt(model, lambda model=model, run=run, seconds=seconds: pretrain_model(job, model, run, seconds))
        if (run / "encoder").exists():
            probing.append(start(job, "probes", job.until, run))
    for process in probing:
        if process.wait():
            job.write("probes", None, note=f"failed: {last_line((job.out / 'probes.log').read_text())}")


def pretrain_model(job: Job, model: str, run: Path, seconds: float) -> None:
    """Pre-train by the recipe for a number of seconds: measure the rate and the time to start, then choose the steps.

    The learning rate falls to zero in the last step, so their number must be known before the first.
    """
    plan, began = job.plan, time.monotonic()
    settings = {"model": model, "batch_size": plan.batch, "base_lr": PEAK_RATES[model], "lr_batch": plan.batch}

    def train(folder: Path, steps: int) -> tuple[list[dict[str, float]], float]:
        """Return the log, and the seconds that were not steps."""
        begun = time.monotonic()
        once = {"steps": steps, "checkpoint_every": steps, "pictures_every": steps}
        config = make_config("synpat", settings, once, {"log_every": max(min(steps // 3, 20), 1)})
        pretrain(str(job.sets / "soundscape"), folder, config, cache=job.cache)
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        return lines, time.monotonic() - begun - steps * plan.batch / lines[-1]["samples_per_s"]

    train(job.out / f"first-trial-{model}", plan.trial_steps)  # with decoding and compilation
    lines, overhead = train(job.out / f"trial-{model}", plan.trial_steps)
    speed = lines[-1]["samples_per_s"]
    left = seconds - (time.monotonic() - began) - overhead
    steps = int(SHARE * left * speed / plan.batch)
    if steps < 1:
        raise TimeoutError(f"no time is left for training after {seconds - left:.0f} s of trials")
    lines, _ = train(run, steps)
    what = f"recipe, {model}: {steps:,} steps of {plan.batch}"
    note = f"peak learning rate {PEAK_RATES[model]:g}; {steps * plan.batch:,} views of {plan.images:,} images"
    job.write(what, lines[-1]["samples_per_s"], "samples/s", note=note)
    job.write(
        f"recipe, {model}: last loss",
        lines[-1]["loss"],
        note=f"loss after {lines[0]['step']} steps: {lines[0]['loss']:.3f}",
    )
    if not job.audio:
        job.write(f"recipe, {model}: probes", None, note="skipped: no --audio")


def probes(job: Job) -> None:
    """Evaluate a run on each set of recordings by logistic regression, with lower priority than pre-training."""
    from synpat_train.evaluation.results import percent
    from synpat_train.evaluation.run import evaluate

    assert job.run
    assert job.audio
    os.nice(10)
    for name, split in RECORDINGS.items():
        what, data = f"{job.run.name.removeprefix('run-')} on {name}: gain", job.audio / name
        if not (data / "metadata.csv").exists():
            job.write(what, None, note=f"skipped: no {name}/metadata.csv in --audio")
            continue

        def probe(what: str = what, data: Path = data, split: str | None = split) -> None:
            assert job.run
            result = evaluate(job.run, "folder", "logistic", data=data, split=split, cache=job.cache)[0]
            ours, random = result.scores["encoder"], result.scores["random-init"]
            difference, interval = ours.minus(random)
            note = f"95 % interval {percent(interval, '+.1f')}; {ours.value:.1%}, random-init {random.value:.1%}"
            job.write(what, 100 * difference, "points", note=note)

        job.attempt(what, probe)


STAGES: Mapping[str, Callable[[Job], None]] = {
    "images": images,
    "resume": resume,
    "memory": memory,
    "rates": rates,
    "painting": painting,
    "pretraining": pretraining,
    "probes": probes,
}
NEEDS_GPU = ("memory",)


# -- the table


def table(results: Path) -> str:
    """Return the rows of a file of results as Markdown."""
    lines = ["| stage | measurement | result | target | note |", "|---|---|--:|--:|---|"]
    for line in results.read_text().splitlines():
        row = json.loads(line)
        value = "" if row["value"] is None else f"{shown(row['value'])} {row['unit']}".strip()
        note = row["note"].replace("|", "/")
        lines.append(f"| {row['stage']} | {row['what']} | {value} | {row['target']} | {note} |")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    cores = f"{available_cores()} cores of {bench_train.processor()}"
    python = ".".join(map(str, sys.version_info[:3]))
    return "\n".join([*lines, "", f"{gpu}, {cores}, torch {torch.__version__}, Python {python}."])


def shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


if __name__ == "__main__":
    main()
