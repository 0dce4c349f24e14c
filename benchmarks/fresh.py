"""What only a fresh process shows: the time of an import, of the first step from nothing, and peak memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from statistics import median
from typing import Any

from harness import ROOT, Settings, has, in_turns
from networks import CONVNET, LENET, RESNET
from results import Grid, Result, Table, Timing

HERE = ROOT / "benchmarks"

IMPORT = """
import time, sys; sys.path.append({root!r})
begin = time.perf_counter(); {body}
print(time.perf_counter() - begin)
"""

FIRST = """
import time; begin = time.perf_counter()
import sys; sys.path.append({root!r})
import numpy as np
x, y = np.zeros((64, 1, 28, 28), np.float32), np.zeros(64, np.int64)
{body}
print(time.perf_counter() - begin)
"""

CORTEX_STEP = """
import cortex
from cortex import layers as L, losses, optimise
network = cortex.Network([
    ("image", L.Input(1, 28, 28)),
    L.Convolution(20, 5), L.MaxPooling(2), L.Relu(), L.Convolution(50, 5), L.MaxPooling(2), L.Relu(),
    L.Linear(500), L.Relu(), L.Linear(10),
])
step = cortex.training_step(
    network, optimiser=optimise.Adam(), batch_size=64, loss=losses.SoftmaxCrossEntropy()
)
step.write("image", x)
step.write("label", y.astype(np.int32))
step.run()
"""

TORCH_STEP = """
import torch
from torch import nn
model = nn.Sequential(
    nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.ReLU(),
    nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10),
)
optimiser = torch.optim.Adam(model.parameters())
nn.CrossEntropyLoss()(model(torch.from_numpy(x)), torch.from_numpy(y)).backward()
optimiser.step()
"""

JAX_STEP = """
import jax, jax.numpy as jnp
rng = np.random.default_rng(0)
shapes = [(20, 1, 5, 5), (20,), (50, 20, 5, 5), (50,), (500, 800), (500,), (10, 500), (10,)]
p = [jnp.asarray(rng.normal(0, .05, s).astype(np.float32)) for s in shapes]
def loss_of(p, x, y):
    for k in (0, 2):
        x = jax.lax.conv_general_dilated(x, p[k], (1, 1), "VALID") + p[k + 1][:, None, None]
        n, c, h, w = x.shape
        x = jax.nn.relu(x.reshape(n, c, h // 2, 2, w // 2, 2).max((3, 5)))
    x = jax.nn.relu(x.reshape(len(x), -1) @ p[4].T + p[5]) @ p[6].T + p[7]
    return -jnp.mean(jax.nn.log_softmax(x)[jnp.arange(len(y)), y])
def step(p, m, v, t, x, y):
    g = jax.grad(loss_of)(p, x, y)
    m = [.9 * a + .1 * b for a, b in zip(m, g)]
    v = [.999 * a + .001 * b * b for a, b in zip(v, g)]
    one, two = 1 - .9 ** t, 1 - .999 ** t
    return [a - .001 * (b / one) / (jnp.sqrt(c / two) + 1e-8) for a, b, c in zip(p, m, v)], m, v
m, v = ([jnp.zeros_like(a) for a in p] for _ in range(2))
jax.block_until_ready(jax.jit(step)(p, m, v, 1., x, y))
"""

MEMORY = """
import json, sys; sys.path[:0] = [{here!r}]; sys.path.append({root!r})
from networks import *
{imports}

def status(key):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024

workload, size = {workload}, {size}
batch, weights = Batch.of(size, workload.shape), workload.weights()
before = status("VmRSS")
made = {body}
made.run(3)
print(json.dumps([status("VmHWM") - before, status("VmHWM")]))
"""


def start(settings: Settings) -> Iterator[Result]:
    """Seconds from nothing, each in fresh processes that take turns: an import, and LeNet's first step."""
    imports = {"cortex": "import cortex", "NumPy": "import numpy"}
    first = {"cortex": CORTEX_STEP}
    if has("torch"):
        imports["PyTorch"] = "import torch"
        first |= {"PyTorch, the import alone": "import torch", "PyTorch eager": TORCH_STEP}
    if has("jax"):
        imports["JAX"] = "import jax"
        first["JAX jit"] = JAX_STEP
    title = "From nothing to the end of LeNet's first step"
    yield _seconds("Import", "import", IMPORT, imports, settings)
    made = _seconds(title, "process", FIRST, first, settings)
    made.goal = 1.0  # sooner than PyTorch is imported
    yield made


def _seconds(
    title: str, unit: str, source: str, bodies: dict[str, str], settings: Settings
) -> Table:
    names = list(bodies)

    def block(i: int) -> list[float]:
        text = source.format(root=str(ROOT), body=bodies[names[i]])
        return [float(_printed(text).split()[-1])]

    seconds = in_turns(len(names), 2 if settings.quick else 5, block)
    rows = [Timing(n, median(s), min(s), max(s)) for n, s in zip(names, seconds, strict=True)]
    return Table(title, unit, "wall", rows, ["The first round reads files that no cache holds."])


def memory(settings: Settings) -> Iterator[Result]:
    """Most memory of a fresh process that makes three training steps."""
    ways: dict[str, tuple[str, str]] = {
        "cortex": ("from peers import ours", "ours.training(workload, batch)")
    }
    if has("torch"):
        for way in ("eager", "channels last, fused"):
            made = f"pytorch.training(workload, batch, {way!r})"
            ways[f"PyTorch {way}"] = ("from peers import pytorch", made)
    if has("jax"):
        ways["JAX jit"] = ("from peers import xla", "xla.training(workload, batch)")
    places = (("LENET", 256, LENET), ("CONVNET", 64, CONVNET), ("RESNET", 64, RESNET))
    grown: dict[str, list[Any]] = {name: [] for name in ways}
    whole: dict[str, list[Any]] = {name: [] for name in ways}
    chosen = places[:1] if settings.quick else places
    for variable, size, _ in chosen:
        for name, (imports, body) in ways.items():
            text = MEMORY.format(
                here=str(HERE),
                root=str(ROOT),
                imports=imports,
                workload=variable,
                size=size,
                body=body,
            )
            step, process = json.loads(_printed(text))
            grown[name].append(step)
            whole[name].append(process)
    columns = [f"{w.name}, batch {size}" for _, size, w in chosen]
    notes = ["From behind the imports, the batch and the initial weights, which all hold alike."]
    yield Grid("Peak memory of a training step", "MiB", columns, grown, notes)
    notes = ["Interpreter, libraries, data and initial weights included."]
    yield Grid("Peak memory of the whole process", "MiB", columns, whole, notes)


def _printed(source: str) -> str:
    command = [sys.executable, "-P", "-c", source]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
