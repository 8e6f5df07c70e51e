"""The protocol `knn`: a clip has the label that most of its nearest neighbours have. Nothing is trained.

Cover and Hart, "Nearest neighbor pattern classification", 1967, on standardised features, by the angle between them.
"""

import numpy as np
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .task import Split

NEIGHBOURS = 10


def knn(features: np.ndarray, labels: np.ndarray, split: Split, seed: int) -> np.ndarray:
    """Which of the split's tested clips are classified rightly: bool [tested], in the order of `split.test`.

    features: float32 [clips, features]; labels: [clips]. The seed decides nothing.
    """
    learnt = np.concatenate([split.train, split.valid])
    nearest = KNeighborsClassifier(min(NEIGHBOURS, len(learnt)), metric="cosine", weights="distance")
    classifier = make_pipeline(StandardScaler(), nearest).fit(features[learnt], labels[learnt])
    return classifier.predict(features[split.test]) == labels[split.test]
