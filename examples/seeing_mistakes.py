"""What a network gets wrong, as pictures: curves, confusion, first-layer kernels, worst mistakes."""

import sys
import tempfile
from pathlib import Path

import cortex
from cortex.datasets import mnist
from cortex.metrics import confusion_matrix
from cortex.models import lenet
from cortex.observers import History
from cortex.visualization import (
    confusion_figure,
    network_filters,
    training_curves,
    worst_mistakes,
)

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
test, history = mnist("test", subset=2000), History()
result = cortex.fit(
    lenet(), mnist("train", subset=4000), test=test, epochs=2, observers=[history], progress=False
)
probabilities = cortex.predict(result.network, test)

figures = {
    "curves": training_curves(history.rows, "LeNet on 4,000 digits"),
    "confusion": confusion_figure(confusion_matrix(test["label"], probabilities.argmax(1))),
    "kernels": network_filters(result.network),
    "mistakes": worst_mistakes(test["image"], test["label"], probabilities),
}
for name, figure in figures.items():
    figure.savefig(folder / f"{name}.png")
print(f"{', '.join(figures)} drawn in {folder}")
sys.exit(result.metrics["test_accuracy"] < 0.9)
