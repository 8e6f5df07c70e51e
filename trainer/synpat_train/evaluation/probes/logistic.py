"""The protocol `logistic`: how well a linear classifier, solved to its optimum, tells the classes apart.

Each feature is standardised on the training part; then multinomial logistic regression with L2 penalty 1 / (2 C) and
C = 0.1, or where clips have several labels one such regression for each. C is fixed for all tasks, encoders and folds,
there is no validation part and no chance in it, so a figure is what the features give without any tuning: fast, and
the least noisy on small data sets. Figures are not comparable with those of the protocol `linear`.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from synpat_train.evaluation.tasks.task import Split

from .settings import Logistic


def logistic(settings: Logistic, features: np.ndarray, targets: np.ndarray, split: Split, seed: int) -> np.ndarray:
    """Scores of the split's tested clips: float64 [tested, classes], in the order of `split.test`.

    features: float32 [clips, features]; targets: int64 [clips] or bool [clips, classes]. The seed decides nothing. A
    class that no training clip has, or every one, scores 0.
    """
    learnt = np.concatenate([split.train, split.valid])
    regression = LogisticRegression(C=settings.C, max_iter=settings.iterations)
    if targets.ndim == 1:
        classifier, classes, wanted = regression, int(targets.max()) + 1, targets[learnt]
        taught = np.unique(wanted)
    else:
        classifier, classes = OneVsRestClassifier(regression), targets.shape[1]
        taught = np.flatnonzero(targets[learnt].any(0) & ~targets[learnt].all(0))
        wanted = targets[np.ix_(learnt, taught)].astype(int)
    pipeline = make_pipeline(StandardScaler(), classifier).fit(features[learnt], wanted)
    scores = np.zeros((len(split.test), classes))
    scores[:, taught] = pipeline.predict_proba(features[split.test])
    return scores
