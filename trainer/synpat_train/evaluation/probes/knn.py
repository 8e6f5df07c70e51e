"""The protocol `knn`: classification by the labels of the nearest neighbours, without training.

Cover and Hart, "Nearest neighbor pattern classification", 1967, on standardised features with cosine distance.
Neighbours are weighted by the inverse of their distance.
"""

import numpy as np
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from synpat_train.evaluation.tasks.task import Split

from .settings import KNearestNeighbours


def knn(settings: KNearestNeighbours, features: np.ndarray, targets: np.ndarray, split: Split, seed: int) -> np.ndarray:
    """Return scores of the test clips, float64 [tested, classes], in the order of `split.test`.

    features: float32 [clips, features]. targets: int64 [clips] or bool [clips, classes]. The seed has no effect.
    """
    train = np.concatenate([split.train, split.valid])
    # A regression returns the weighted mean of the neighbours' labels for both kinds of labels.
    one_hot = targets if targets.ndim == 2 else np.eye(int(targets.max()) + 1, dtype=np.float32)[targets]
    count = min(settings.neighbours, len(train))
    nearest = KNeighborsRegressor(count, metric="cosine", weights="distance")
    return make_pipeline(StandardScaler(), nearest).fit(features[train], one_hot[train]).predict(features[split.test])
