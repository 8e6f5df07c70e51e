"""Eigenvectors of a symmetric 3x3 matrix, with the signs that LAPACK's routine syev gives them.

The sign of an eigenvector is arbitrary, and libraries differ in it. Where an image depends on the signs, their
distribution is part of the model. The steps are those of syev with uplo=U: one Householder reflection makes the matrix
tridiagonal, and implicit QL or QR iterations make it diagonal. In plain arithmetic, the result is the same everywhere.

Anderson et al., LAPACK users' guide, 1999, and for the rotations Anderson, "Algorithm 978: safe scaling in the level 1
BLAS", 2017.
"""

from itertools import pairwise
from math import copysign, sqrt

import numpy as np
from numpy.typing import NDArray

EPSILON = 2.0**-53
"""Relative rounding error of a double."""


def eigenvectors(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the eigenvectors of a symmetric matrix [3, 3], one per row, in order of increasing eigenvalue."""
    diagonal, beside, vectors = _tridiagonal(matrix)
    first = 0
    while first < 3:
        last = first
        while last < 2 and abs(beside[last]) > EPSILON * sqrt(abs(diagonal[last])) * sqrt(abs(diagonal[last + 1])):
            last += 1
        if last < 2:
            beside[last] = 0.0
        _diagonalise(diagonal, beside, vectors, first, last)
        first = last + 1
    order = sorted(range(3), key=diagonal.__getitem__)
    return np.array([vectors[n] for n in order])


def _tridiagonal(matrix: NDArray[np.float64]) -> tuple[list[float], list[float], list[list[float]]]:
    """Return diagonal [3] and secondary diagonal [2] of the tridiagonal form, and the columns of the rotation to it."""
    (a, b, c), (_, d, e), (_, _, f) = matrix.tolist()
    if c == 0:
        return [a, d, f], [b, e], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    # The reflection 1 - tau v v' with v = (x, 1, 0) maps the last column's (c, e) to (0, end).
    end = -copysign(sqrt(c * c + e * e), e)
    tau, x = (end - e) / end, c / (e - end)
    # The upper block [[a, b], [b, d]] becomes block - v w' - w v'.
    p, q = tau * (a * x + b), tau * (b * x + d)
    half = -0.5 * tau * (p * x + q)
    p, q = p + half * x, q + half
    a, b, d = a - 2 * x * p, b - x * q - p, d - 2 * q
    return [a, d, f], [b, end], [[1 - tau * x * x, -tau * x, 0.0], [-tau * x, 1 - tau, 0.0], [0.0, 0.0, 1.0]]


def _diagonalise(diagonal: list[float], beside: list[float], vectors: list[list[float]], first: int, last: int) -> None:
    """Diagonalise the block from `first` to `last` in place, and apply the same rotations to the vectors."""
    # The iterations find the eigenvalue at the end of the list first: the one of smaller absolute value.
    block = list(range(first, last + 1))
    if abs(diagonal[last]) >= abs(diagonal[first]):
        block.reverse()
    while len(block) > 1:
        links = [min(pair) for pair in pairwise(block)]
        start = len(links)
        while start and beside[links[start - 1]] ** 2 > EPSILON**2 * abs(diagonal[block[start]]) * abs(
            diagonal[block[start - 1]]
        ):
            start -= 1
        if start:
            beside[links[start - 1]] = 0.0
        if start == len(links):
            block.pop()
        elif start == len(links) - 1:
            _diagonalise_pair(diagonal, beside, vectors, links[start])
            del block[-2:]
        else:
            _iterate(diagonal, beside, vectors, block, links)


def _iterate(
    diagonal: list[float], beside: list[float], vectors: list[list[float]], block: list[int], links: list[int]
) -> None:
    """Do one implicit QL or QR step on a block of three: QR if the indices in `block` increase, QL if they decrease."""
    target = diagonal[block[-1]]
    g = (diagonal[block[-2]] - target) / (2 * beside[links[-1]])
    g = diagonal[block[0]] - target + beside[links[-1]] / (g + copysign(sqrt(g * g + 1), g))
    s, c, p = 1.0, 1.0, 0.0
    for n, link in enumerate(links):
        here, following = block[n], block[n + 1]
        f, b = s * beside[link], c * beside[link]
        c, s, r = _rotation(g, f)
        if n:
            beside[links[n - 1]] = r
        g = diagonal[here] - p
        r = (diagonal[following] - g) * s + 2 * c * b
        p = s * r
        diagonal[here] = g + p
        g = c * r - b
        _rotate(vectors, here, following, c, s)
    diagonal[block[-1]] -= p
    beside[links[-1]] = g


def _diagonalise_pair(diagonal: list[float], beside: list[float], vectors: list[list[float]], n: int) -> None:
    """Diagonalise the 2x2 block at n; the eigenvalue of larger absolute value comes first."""
    a, b, c = diagonal[n], beside[n], diagonal[n + 1]
    total, difference, twice = a + c, a - c, 2 * b
    root = sqrt(difference * difference + twice * twice)
    sign = -1.0 if total < 0 else 1.0
    larger = 0.5 * (total + sign * root)
    larger_part, smaller_part = (a, c) if abs(a) > abs(c) else (c, a)
    smaller = (larger_part / larger) * smaller_part - (b / larger) * b if total else -larger
    side = -1.0 if difference < 0 else 1.0
    cosine = difference + side * root
    if abs(cosine) > abs(twice):
        tangent = -twice / cosine
        s = 1 / sqrt(1 + tangent * tangent)
        c = tangent * s
    else:
        tangent = -cosine / twice
        c = 1 / sqrt(1 + tangent * tangent)
        s = tangent * c
    if sign == side:
        c, s = -s, c
    diagonal[n], diagonal[n + 1], beside[n] = larger, smaller, 0.0
    _rotate(vectors, n, n + 1, c, s)


def _rotation(f: float, g: float) -> tuple[float, float, float]:
    """Return c, s and r such that the rotation by cosine c and sine s maps (f, g) to (r, 0)."""
    if g == 0:
        return 1.0, 0.0, f
    if f == 0:
        return 0.0, copysign(1.0, g), abs(g)
    length = sqrt(f * f + g * g)
    r = copysign(length, f)
    return abs(f) / length, g / r, r


def _rotate(vectors: list[list[float]], here: int, following: int, c: float, s: float) -> None:
    pairs = list(zip(vectors[here], vectors[following], strict=True))
    vectors[here] = [c * x + s * y for x, y in pairs]
    vectors[following] = [c * y - s * x for x, y in pairs]
