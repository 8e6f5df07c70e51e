"""An encoder as a part of your own model: its weights are trained together with a new classifier."""

import torch
from torch import nn

from synpat_train import load_encoder, log_mel

ENCODER, STEPS = "encoders/tiny", 50


def tones(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return noisy tones of one second at 16 kHz, [count, 16000], and their class: 0 is low, 1 is high."""
    classes = torch.randint(2, (count,))
    hertz = torch.where(classes == 0, 300.0, 600.0) * (1 + 0.2 * torch.rand(count))
    time = torch.arange(16_000) / 16_000
    return 0.3 * torch.sin(2 * torch.pi * hertz[:, None] * time) + 0.1 * torch.randn(count, 16_000), classes


torch.manual_seed(0)
encoder = load_encoder(ENCODER)
encoder.vit.requires_grad_(True)  # load_encoder freezes the weights
classifier = nn.Linear(encoder.features, 2)
optimizer = torch.optim.AdamW([*encoder.vit.parameters(), *classifier.parameters()], lr=1e-4)
mean, std = -3.3, 1.5  # of the log-mels of your recordings

for step in range(STEPS):
    waveforms, classes = tones(16)
    clips = (log_mel(waveforms) - mean) / std  # [16, 80, 101]
    loss = nn.functional.cross_entropy(classifier(encoder.clip_embedding(clips)), classes)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    if step % 10 == 0:
        print(f"step {step}: loss {loss.item():.3f}")

with torch.no_grad():
    waveforms, classes = tones(64)
    answers = classifier(encoder.clip_embedding((log_mel(waveforms) - mean) / std)).argmax(dim=1)
print(f"accuracy on new tones: {(answers == classes).float().mean():.0%}")
