"""Eigenvectors compared with LAPACK."""

import numpy as np
import pytest
from scipy.linalg import eigh

from synpat.families.statistical import _colour_bands, _moments
from synpat.painting.eigenvectors import eigenvectors


def lapack(matrix: np.ndarray) -> np.ndarray:
    return eigh(matrix, driver="ev", lower=False)[1].T


def test_vectors_and_signs_of_colours_are_those_of_lapack():
    for seed in range(200):
        _, covariance = _moments(_colour_bands(np.random.default_rng(seed), 32, 32).reshape(-1, 3))
        assert np.allclose(eigenvectors(covariance), lapack(covariance), atol=1e-9)


def test_vectors_and_signs_of_indefinite_matrices_are_those_of_lapack():
    for matrix in np.random.default_rng(0).normal(size=(500, 3, 3)):
        assert np.allclose(eigenvectors(matrix + matrix.T), lapack(matrix + matrix.T), atol=1e-9)


@pytest.mark.parametrize(
    "matrix",
    [
        np.zeros((3, 3)),
        np.diag([3.0, 1.0, 2.0]),
        np.array([[2.0, 1, 0], [1, 2, 0], [0, 0, 1]]),
        np.array([[2.0, 0, 1], [0, 5, 0], [1, 0, 2]]),
        np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 0]]),
    ],
)
def test_matrices_with_zeros_have_the_vectors_of_lapack(matrix: np.ndarray):
    assert np.allclose(eigenvectors(matrix), lapack(matrix), atol=1e-9)
