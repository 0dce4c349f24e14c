"""Those who take part, each as `Contender`s: cortex itself, PyTorch, JAX, and what is built on NumPy's arrays.

Those for training take the cross-entropy of labels and the workload's optimiser, host arrays in; those for inference
take a host array and give one.
"""

from __future__ import annotations

from harness import Contender, Settings, has
from networks import Batch, Workload


def training(workload: Workload, size: int, settings: Settings) -> list[Contender]:
    """Return the training step of cortex, for each instruction set asked for, and of every installed peer."""
    from peers import arrays, ours

    batch = Batch.of(size, workload.shape)
    made = ours.each(settings, ours.training, workload, batch)
    if has("torch"):
        from peers import pytorch

        made += [pytorch.training(workload, batch, way) for way in pytorch.ways(workload, settings)]
    if has("jax"):
        from peers import xla

        made.append(xla.training(workload, batch))
    if arrays.fits(workload):
        made.append(arrays.training(workload, batch))
        if has("scikit-learn"):
            made.append(arrays.sklearn_training(workload, batch))
    return made


def inference(workload: Workload, size: int, settings: Settings) -> list[Contender]:
    """Return the inference of cortex, for each instruction set asked for, and of every installed peer."""
    from peers import arrays, ours

    images = Batch.of(size, workload.shape).images
    made = ours.each(settings, ours.inference, workload, images)
    if has("torch"):
        from peers import pytorch

        ways = [w.replace(", fused", "") for w in pytorch.ways(workload, settings) if w != "fused"]
        made += [pytorch.inference(workload, images, way) for way in ways]
    if has("jax"):
        from peers import xla

        made.append(xla.inference(workload, images))
    if arrays.fits(workload):
        made.append(arrays.inference(workload, images))
    return made
