"""The status of a run as text, and its loss as a plot."""

from datetime import timedelta
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from synpat_shards import BLUE, GREY, PLOT_STYLE, InputError

from .checkpoint import checkpoints
from .log import read_log
from .run_folder import read_config, read_data

CURVE = "loss.png"


def run_status(run: Path) -> str:
    """Return a summary of a run: its data, its progress and the remaining time.

    Raises InputError if the folder has no run.
    """
    config, data, log = read_config(run), read_data(run), read_log(run)
    samples = data.samples_per_epoch
    total = config.steps or (config.epochs or 0) * (samples // config.batch_size)
    sets = f"{len(data.sets)} shard set{'s' * (len(data.sets) > 1)}{' with targets' if data.targets else ''}"
    lines = [
        f"{run}: ViT-{config.model} on {config.height}x{config.width}, {sets}, "
        f"{samples:,} samples per epoch{', streamed' if data.stream else ''}, last on {data.device}"
    ]
    if log:
        last = log[-1]
        left = timedelta(seconds=round((total - last["step"]) * config.batch_size / last["samples_per_s"]))
        lines += [
            f"step {last['step']:,} of {total:,} ({last['step'] / total:.1%}), loss {last['loss']:.4f}"
            + (f", {left} left at {last['samples_per_s']:,.0f} samples/s" if last["step"] < total else ""),
            f"MFU {last['mfu']:.1%}, {last['data_wait']:.1%} of the time waiting for data, {last['memory_gb']:.1f} GB",
        ]
    saved = [path.name for path in checkpoints(run)]
    lines.append(f"checkpoints: {', '.join(saved) or 'none'}")
    exported = "encoder/ is exported" if (run / "encoder" / "model.safetensors").exists() else "no encoder is exported"
    finished = bool(log) and log[-1]["step"] == total
    lines.append(f"{'finished' if finished else 'not finished'}, {exported}")
    return "\n".join(lines)


@rc_context(PLOT_STYLE)
def draw_curve(run: Path) -> Path:
    """Plot the loss and the learning rate over the steps into the run folder.

    Raises InputError if the log has no lines.
    """
    log = read_log(run)
    if not log:
        raise InputError(f"{run} has no log lines yet")
    figure = Figure(figsize=(8, 4.5))
    axes = figure.add_subplot(xlabel="step", ylabel="loss", title=run.name)
    steps = [line["step"] for line in log]
    axes.plot(steps, [line["loss"] for line in log], color=BLUE)
    config = read_config(run)
    if config.norm_pix and not config.hog_weight:
        axes.axhline(1, color=GREY, linewidth=1, linestyle="--", label="predicting the mean of each patch")
        axes.legend()
    rates = axes.twinx()
    rates.plot(steps, [line["lr"] for line in log], color=GREY, linewidth=1)
    rates.set_ylabel("learning rate", color=GREY)
    figure.savefig(run / CURVE, dpi=120)
    return run / CURVE
