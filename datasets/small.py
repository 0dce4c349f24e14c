"""Small data sets for tests and examples, shipped or written out here."""

from __future__ import annotations

import numpy as np

from .arrays import Arrays
from .shipped import verified_bytes
from .tabular import parse_csv


def iris() -> Arrays:
    """Fisher's iris: `features` float64 [4], cm, and `label` int64 []; 150 flowers, 50 per class.

    Sepal length, sepal width, petal length, petal width; 0 setosa, 1 versicolor, 2 virginica.
    Source: R. A. Fisher, "The use of multiple measurements in taxonomic problems", 1936.
    """
    return _table("iris.csv", 4)


def breast_cancer() -> Arrays:
    """Wisconsin diagnostic breast cancer: `features` float64 [30], `label` int64 []; 569 tumours.

    Means, standard errors and worst values of ten measurements of cell nuclei; 0 malignant (212),
    1 benign (357). Source: Wolberg, Mangasarian, Street, University of Wisconsin, 1995.
    """
    return _table("breast_cancer.csv", 30)


def corn() -> Arrays:
    """Ten corn yields: `features` float64 [2], `target` float64 [1].

    The features are amounts of fertiliser and insecticide. The least-squares plane
    31.98 + 0.650 x1 + 1.110 x2 has a mean squared error of 1.367.
    """
    treatment = [6, 4, 10, 4, 12, 5, 14, 7, 16, 9, 18, 12, 22, 14, 24, 20, 26, 21, 32, 24]
    crop = [40, 44, 46, 48, 52, 58, 60, 68, 74, 80]
    return Arrays(
        features=np.array(treatment, np.float64).reshape(10, 2),
        target=np.array(crop, np.float64).reshape(10, 1),
    )


def xor() -> Arrays:
    """Exclusive or: `features` float64 [2] and `target` float64 [1], all four cases."""
    features = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float64)
    return Arrays(features=features, target=np.array([[0], [1], [1], [0]], np.float64))


def _table(file: str, features: int) -> Arrays:
    """A shipped table: one line of counts and names, then features and label."""
    return parse_csv(
        verified_bytes("tabular", file),
        file,
        {"features": [str(number) for number in range(features)], "label": str(features)},
        header=False,
        skip=1,
    )
