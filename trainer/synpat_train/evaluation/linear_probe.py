"""The linear protocol: how well a linear classifier tells the classes apart from frozen embeddings.

Each feature is standardised on the training part; then multinomial logistic regression with L2 penalty 1 / (2 C) and
C = 0.1, solved to its optimum. C is fixed for all tasks, encoders and folds and nothing is chosen on the tested clips,
so a figure is what the features give without any tuning. It is not the protocol of EVAR (Niizumi et al., "BYOL for
Audio", 2023), whose linear layer is trained by Adam with early stopping: figures of the two are not comparable.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .task import Split

PROTOCOL = "linear: standardised features, logistic regression with C = 0.1"
C = 0.1
ITERATIONS = 1000
"""The most that the solver takes; it needs tens."""


def linear_probe(features: np.ndarray, labels: np.ndarray, split: Split) -> np.ndarray:
    """Which of the split's tested clips are classified rightly: bool [tested], in the order of `split.test`.

    features: float32 [clips, features]; labels: [clips].
    """
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=ITERATIONS))
    classifier.fit(features[split.train], labels[split.train])
    return classifier.predict(features[split.test]) == labels[split.test]
