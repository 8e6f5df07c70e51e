"""The learning rate as a function of the step."""

import math


def learning_rate(
    step: float, *, peak: float, warmup: float, total: float, final: float = 0.0, cosine_start: float | None = None
) -> float:
    """Return a learning rate that rises linearly over `warmup` steps and then follows half a cosine.

    The cosine falls from `peak` at step `cosine_start` (by default the end of the warm-up) to `final` at step `total`.
    """
    if step < warmup:
        return peak * step / warmup
    start = warmup if cosine_start is None else cosine_start
    share = 0.5 * (1 + math.cos(math.pi * (step - start) / (total - start)))
    return final + (peak - final) * share
