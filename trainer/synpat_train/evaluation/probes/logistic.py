"""The protocol `logistic`: a linear classifier solved to its optimum.

Features are standardised on the training part. Then multinomial logistic regression with L2 penalty 1 / (2 C) and C =
0.1, or one such regression for each class if clips have several labels. C is fixed for all tasks, encoders and folds.
There is no validation part and no randomness, so the result needs no tuning, is fast, and has the least noise on small
data sets. Results are not comparable with those of the protocol `linear`.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from synpat_train.evaluation.tasks.task import Split

from .settings import Logistic


def logistic(settings: Logistic, features: np.ndarray, targets: np.ndarray, split: Split, seed: int) -> np.ndarray:
    """Return scores of the test clips, float64 [tested, classes], in the order of `split.test`.

    features: float32 [clips, features]. targets: int64 [clips] or bool [clips, classes]. The seed has no effect. A
    class that no training clip has, or every one, scores 0.
    """
    train = np.concatenate([split.train, split.valid])
    regression = LogisticRegression(C=settings.C, max_iter=settings.iterations)
    if targets.ndim == 1:
        classifier, classes, train_targets = regression, int(targets.max()) + 1, targets[train]
        known_classes = np.unique(train_targets)
    else:
        classifier, classes = OneVsRestClassifier(regression), targets.shape[1]
        known_classes = np.flatnonzero(targets[train].any(0) & ~targets[train].all(0))
        train_targets = targets[np.ix_(train, known_classes)].astype(int)
    pipeline = make_pipeline(StandardScaler(), classifier).fit(features[train], train_targets)
    scores = np.zeros((len(split.test), classes))
    scores[:, known_classes] = pipeline.predict_proba(features[split.test])
    return scores
