"""Patterns without files: a sequence of samples that a data loader can read."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Self, overload

from synpat.families import find_family
from synpat_shards import InputError

from .sampling import check_arguments, paint


class Patterns(Sequence[Any]):
    """The samples of a family as a sequence. Each is painted when it is read.

    Sample i equals sample i of the shard set with the same seed. `torch.utils.data.DataLoader` takes the sequence as
    a data set, with any number of worker processes; samples are independent, so that no shuffling is necessary:

        loader = DataLoader(Patterns("soundscape", size=(80, 208), n=100_000), batch_size=32, num_workers=2)

    family: a name in FAMILIES. size: height (frequency) and width (time) in pixels. seed: 0 or more. n: number of
    samples; None stands for all indices up to `sys.maxsize`, which is endless in practice. labels: if True, an element
    is a pair of the image and its class (int), otherwise it is the image, uint8 [height, width]. render_size: size at
    which an image is painted before it is resized, such as `published_size` of the family. parameters: values for
    fields of the family that replace the drawn ones.

    A slice is again a sequence of patterns. Raises InputError for an unknown family, an invalid size, seed, n or
    parameter, and for labels of a family without classes.
    """

    def __init__(
        self,
        family: str,
        *,
        size: tuple[int, int] = (80, 208),
        seed: int = 0,
        n: int | None = None,
        labels: bool = False,
        render_size: tuple[int, int] | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self.family, self.size, self.seed, self.labels, self.render_size = family, size, seed, labels, render_size
        self.parameters = find_family(family).resolved_parameters(parameters or {})
        self.indices = range(sys.maxsize if n is None else n)
        for each in (size, render_size or size):
            check_arguments(seed, 0, each)
        if n is not None and n < 1:
            raise InputError(f"n must be 1 or more, or None for an endless sequence, got {n}")
        if labels and not self.classes:
            raise InputError(f"{family} has no classes: use labels=False")

    @property
    def classes(self) -> int:
        """Number of classes; 0 if the family has none."""
        return find_family(self.family).categories_with(self.parameters)

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            part = self.__class__.__new__(self.__class__)
            part.__dict__ = vars(self) | {"indices": self.indices[index]}
            return part
        sample = paint(
            self.family,
            self.seed,
            self.indices[index],
            *self.size,
            render_size=self.render_size,
            parameters=self.parameters,
        )
        return (sample.image, sample.category) if self.labels else sample.image

    def __repr__(self) -> str:
        height, width = self.size
        return f"Patterns({self.family!r}, size=({height}, {width}), seed={self.seed}, {len(self)} samples)"
