"""The learning rate as a function of the step."""

import math


def learning_rate(step: float, *, peak: float, warmup: float, total: int) -> float:
    """Rises in a straight line over `warmup` steps, then follows half a cosine down to zero at step `total`."""
    if step < warmup:
        return peak * step / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))
