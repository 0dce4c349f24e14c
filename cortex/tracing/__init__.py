"""From a network to programs: inference, evaluation, a training step, gradients.

A training program, in this order: every node's forward pass under its name; the loss of each output, a
weighted mean of terms over examples; the penalties; the gradient of it all, joined into one flat value per
group of parameters and summed over the processes that train together; clipping; the optimiser, one fused
pass per group; max-norm constraints; the statistics. Where several processes train together, each writes its
own examples, and all that it reads but the network's outputs is of the whole batch. Where the loss has a scale, the
gradients are divided by it before clipping, and all that changes state comes last: see `scaling`.
The names in a program:

| name | kind | what |
|---|---|---|
| columns of the network, of targets, `sample_weight` | input | batch axis first; written by the host |
| `parameters.<k>`; `conv1.weights` | state; view of it | see `cortex.parameters` |
| `norm1.running_mean` | state | a statistic |
| `loss.<output>.<name>` | state | a parameter of a loss, such as centres of classes |
| `optimiser.<k>.<name>`, `optimiser.<name>` | state | vectors per group; scalars (float64), advanced once per step |
| `random.seed`, `random.step` | state | where the program draws random numbers |
| `scaling.scale`, `scaling.good`, `scaling.skipped` | state | of the loss; good steps in a row; steps left out |
| `total.<name>` | state | running sums (float64), where asked for; the host writes 0 to begin anew |
| `loss` | output | what training makes smaller: weighted losses and penalties, 0-d |
| `loss.<output>`, `loss.penalty` | output | its parts, where there are several, before their weights |
| `softmax1`; `output` | output | outputs of the network; the only one also as `output` |
| `metric.<name>` | output | sums over the batch, such as `metric.correct`; with `.<output>` where several are judged |
| `gradient.norm` | output | length of the gradient before clipping by norm |
"""

from __future__ import annotations

from .forward import (
    Traced,
    inference_nodes,
    name_outputs,
    output_value,
    trace_forward,
    trace_inference,
)
from .gradient import trace_gradients
from .loss import METRICS, SAMPLE_WEIGHT, Metric, Objective, trace_evaluation, trace_loss
from .scaling import LossScale, LossScaleOf, loss_scale_of
from .step import Clip, trace_training

__all__ = [
    "METRICS", "SAMPLE_WEIGHT", "Clip", "LossScale", "LossScaleOf", "Metric", "Objective", "Traced",
    "inference_nodes", "loss_scale_of", "name_outputs",
    "output_value", "trace_evaluation", "trace_forward", "trace_gradients", "trace_inference", "trace_loss",
    "trace_training",
]  # fmt: skip
