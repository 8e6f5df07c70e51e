"""Published results for comparison, measured by their authors with their own code and data."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ReferenceResults:
    """Results of one encoder by one protocol."""

    encoder: str
    source: str
    figures: Mapping[str, float]
    """Results in percent, by the names that synpat-eval gives to task and protocol."""


REFERENCE_RESULTS: Mapping[str, ReferenceResults] = {
    "m2d": ReferenceResults(
        encoder="M2D, ViT-B, pre-trained on AudioSet",
        source="Niizumi et al., Masked Modeling Duo, 2023; figures of EVAR's README, section 7-2",
        figures={
            "esc50": 91.3,
            "us8k": 87.6,
            "spcv2": 96.0,
            "voxceleb1": 73.4,
            "voxforge": 98.3,
            "cremad": 73.0,
            "gtzan": 84.1,
            "nsynth": 75.7,
            "surge": 42.1,
        },
    ),
    "audiomae": ReferenceResults(
        encoder="AudioMAE, ViT-B, pre-trained on AudioSet",
        source="Huang et al., Masked Autoencoders that Listen, 2022, table 3 (local attention)",
        figures={
            "as20k (finetune-audiomae)": 37.1,
            "esc50 (finetune-audiomae)": 94.1,
            "spcv2 (finetune-audiomae)": 98.3,
            "voxceleb1 (finetune-audiomae)": 94.8,
        },
    ),
}
