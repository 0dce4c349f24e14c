"""Stop in the middle of an epoch, go on in another process, and end with the same bits."""

import sys
import tempfile
from pathlib import Path

import numpy as np

import cortex
from cortex import stopping
from cortex.datasets import mnist
from cortex.models import mlp

data = mnist("train", subset=2000)
# Dropout, the order of examples and Adam's averages all depend on what came before; random numbers
# are counted, not drawn from a hidden stream, so a checkpoint knows where they stand.
settings = {"epochs": 3, "batch_size": 64, "seed": 7, "progress": False}

with tempfile.TemporaryDirectory() as folder:
    place = Path(folder) / "checkpoint"
    stopped = cortex.fit(
        mlp(), data, every=1, stop=stopping.steps(40), **settings
    )  # 32 steps an epoch
    cortex.save_checkpoint(place, stopped.checkpoint)
    print("stopped:", stopped.reason.value, stopped.checkpoint.position)
    resumed = cortex.fit(mlp(), data, resume=place, **settings)

whole = cortex.fit(mlp(), data, **settings)
same = all(
    np.array_equal(array, resumed.network.parameters[name])
    for name, array in whole.network.parameters.items()
)
print("every weight of the resumed run equals the uninterrupted one, bit for bit:", same)
sys.exit(not same)
