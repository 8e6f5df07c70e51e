"""The protocol `knn`: a clip has the labels that its nearest neighbours have. Nothing is trained.

Cover and Hart, "Nearest neighbor pattern classification", 1967, on standardised features, by the angle between them;
near neighbours count more, by the inverse of their distance.
"""

import numpy as np
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from synpat_train.evaluation.tasks.task import Split

from .settings import KNearestNeighbours


def knn(settings: KNearestNeighbours, features: np.ndarray, targets: np.ndarray, split: Split, seed: int) -> np.ndarray:
    """Scores of the split's tested clips: float64 [tested, classes], in the order of `split.test`.

    features: float32 [clips, features]; targets: int64 [clips] or bool [clips, classes]. The seed decides nothing.
    """
    learnt = np.concatenate([split.train, split.valid])
    # The weighted mean of the neighbours' labels, which a regression to them gives for either kind of label.
    wanted = targets if targets.ndim == 2 else np.eye(int(targets.max()) + 1, dtype=np.float32)[targets]
    count = min(settings.neighbours, len(learnt))
    nearest = KNeighborsRegressor(count, metric="cosine", weights="distance")
    return make_pipeline(StandardScaler(), nearest).fit(features[learnt], wanted[learnt]).predict(features[split.test])
