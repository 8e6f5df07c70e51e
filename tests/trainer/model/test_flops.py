"""Number of operations, compared with published figures."""

import itertools

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from synpat_train.config import make_config
from synpat_train.model.flops import _rate, flops_per_sample, listed_peak_flops, peak_flops
from synpat_train.model.mae import MaskedAutoencoder


@pytest.mark.parametrize(
    ("preset", "settings", "gigaflops"),
    [
        ("msm-mae", {}, 11.70),
        ("m2d", {}, 61.00),
        ("audiomae", {}, 145.11),
        ("audiomae", {"mask_ratio": 0.75}, 159.09),
    ],
)
def test_flops_per_sample_match_figures_computed_by_hand(preset: str, settings: dict, gigaflops: float):
    """The figures include embedding and predicting all patches. synpat skips unused ones, about one percent."""
    assert flops_per_sample(make_config(preset, settings)) / 1e9 == pytest.approx(gigaflops, rel=0.02)


def test_flops_match_the_counter_of_torch():
    config = make_config("msm-mae", {"model": "tiny"})
    model = MaskedAutoencoder(config)
    with FlopCounterMode(display=False) as counter:
        model(torch.randn(2, 1, 80, 208), torch.rand(2, config.patches)).backward()
    assert flops_per_sample(config) == pytest.approx(counter.get_total_flops() / 2, rel=0.03)


def test_peak_of_a_cpu_is_the_rate_of_its_fastest_product(monkeypatch: pytest.MonkeyPatch):
    """The products of two 1024x1024 matrices take 5, 4, 2, 3, 3 and 3 ms."""
    durations = iter([0.005, 0.004, 0.002, 0.003, 0.003, 0.003])
    clock = itertools.chain.from_iterable((0.0, duration) for duration in durations)
    monkeypatch.setattr("synpat_train.model.flops._seconds", lambda device: next(clock))
    monkeypatch.setattr("synpat_train.model.flops.MEASURED_SECONDS", 0)
    assert _rate(1024, torch.device("cpu"), torch.float32) == pytest.approx(2 * 1024**3 / 0.002)


def test_peak_of_a_cpu_is_proportional_to_its_threads(monkeypatch: pytest.MonkeyPatch):
    """The utilisation with one and with two threads is then on the same scale."""
    monkeypatch.setattr("synpat_train.model.flops._rate", lambda side, device, dtype: 1e9 * torch.get_num_threads())
    before, peaks = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            peaks.append(peak_flops(torch.device("cpu"), torch.bfloat16))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert peaks == [1e9, 2e9]


@pytest.mark.parametrize(
    ("gpu", "stated"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40", 181e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA A10G", 70e12),
        ("NVIDIA RTX A1000 Laptop GPU", None),
        ("Tesla T4", None),
    ],
)
def test_gpus_with_similar_names_are_distinguished(gpu: str, stated: float | None):
    assert listed_peak_flops(gpu) == stated


def test_peak_is_that_of_the_faster_precision(monkeypatch: pytest.MonkeyPatch):
    """A CPU without bfloat16 units multiplies bfloat16 many times slower than float32."""
    measured = {torch.bfloat16: 1e9, torch.float32: 5e10}
    monkeypatch.setattr("synpat_train.model.flops._measured_peak_flops", lambda device, dtype: measured[dtype])
    assert peak_flops(torch.device("cpu"), torch.bfloat16) == 5e10
