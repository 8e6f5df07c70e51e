"""The count of operations, against the published and tabulated figures."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from synpat_train.config import make_config
from synpat_train.model.flops import flops_per_sample, listed_peak_flops, peak_flops
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
def test_a_sample_takes_what_was_worked_out_by_hand(preset: str, settings: dict, gigaflops: float):
    """The tabulated figures embed and predict all patches; we skip those that nobody needs, a percent or so."""
    assert flops_per_sample(make_config(preset, settings)) / 1e9 == pytest.approx(gigaflops, rel=0.02)


def test_torch_counts_the_same():
    config = make_config("msm-mae", {"model": "tiny"})
    model = MaskedAutoencoder(config)
    with FlopCounterMode(display=False) as counter:
        model(torch.randn(2, 1, 80, 208), torch.rand(2, config.patches)).backward()
    assert flops_per_sample(config) == pytest.approx(counter.get_total_flops() / 2, rel=0.03)


def test_the_peak_of_a_processor_is_a_plausible_number():
    assert 1e8 < peak_flops(torch.device("cpu"), torch.float32) < 1e14


def test_the_peak_of_a_processor_is_proportional_to_its_threads(monkeypatch: pytest.MonkeyPatch):
    """The utilisation at one and at two threads is then on one scale, however many threads a product uses."""
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
def test_a_gpu_is_not_taken_for_another_whose_name_begins_alike(gpu: str, stated: float | None):
    assert listed_peak_flops(gpu) == stated


def test_the_peak_is_that_of_the_faster_precision(monkeypatch: pytest.MonkeyPatch):
    """A processor without bfloat16 units multiplies it many times slower than float32."""
    measured = {torch.bfloat16: 1e9, torch.float32: 5e10}
    monkeypatch.setattr("synpat_train.model.flops._measured_peak_flops", lambda device, dtype: measured[dtype])
    assert peak_flops(torch.device("cpu"), torch.bfloat16) == 5e10
