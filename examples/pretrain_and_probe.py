"""Render a shard set, pre-train an encoder on it, and compare it with random weights on recorded sounds."""

from synpat import make_spec, render_set
from synpat_train import evaluate, make_config, pretrain

N, STEPS = 20_000, 3000
TASK, DATA = "gm-instrument", None  # or "folder" and a folder with recordings and metadata.csv

if __name__ == "__main__":  # worker processes import this file
    render_set("sets/soundscape", make_spec("soundscape", N))
    pretrain("sets/soundscape", "runs/soundscape", make_config("synpat", {"steps": STEPS}))
    [result] = evaluate("runs/soundscape", TASK, "logistic", data=DATA)

    encoder, random = result.scores["encoder"], result.scores["random-init"]
    gain, (low, high) = encoder.minus(random)
    print(f"accuracy {encoder.value:.1%}, random weights {random.value:.1%}")
    print(f"gain {100 * gain:+.1f} points (95 % interval {100 * low:+.1f} to {100 * high:+.1f})")
