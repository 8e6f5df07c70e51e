"""Patterns without files: a data loader of torch over samples that are painted when they are read."""

from torch.utils.data import DataLoader

from synpat import Patterns

N = 10_000

patterns = Patterns("soundscape", size=(80, 208), seed=0, n=N, labels=True)
print(f"{patterns}: {patterns.classes} classes")

if __name__ == "__main__":  # worker processes that are spawned import this file
    loader = DataLoader(patterns, batch_size=64, num_workers=2)
    for images, labels in loader:  # uint8 [64, 80, 208] and int64 [64]
        batch = (
            f"{tuple(images.shape)}, mean grey level {images.float().mean():.1f}, classes {labels.unique().tolist()}"
        )
    print(f"last batch: {batch}")
