"""Asks cuDNN, with stand-ins for driver and runtime, for a plan of every graph; a JSON line for each.

    python plan_networks.py STANDIN... PROPERTIES TF32 DETERMINISTIC FOLDER NETWORK DTYPE

FOLDER keeps compiled plans. A line has the graph, `workspace` in bytes or `refused`, `seconds`, and whether the plan
came from the folder.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from pathlib import Path

*standins, properties, tf32, deterministic, folder, network, dtype = sys.argv[1:]
for standin in standins:  # before cuDNN, which then finds these
    ctypes.CDLL(standin, ctypes.RTLD_GLOBAL)
sys.path.insert(0, str(Path(__file__).parent))

import cudnn_networks as networks  # noqa: E402

from cortex.compute.errors import BackendError  # noqa: E402
from cortex.gpu_compute.libraries.frontend import FrontendDnn  # noqa: E402
from cortex.gpu_compute.libraries.plan_cache import PlanCache  # noqa: E402

cache = PlanCache(Path(folder))
ops = FrontendDnn(
    tf32=tf32 == "1",
    deterministic=deterministic == "1",
    cache=cache,
    properties=Path(properties).read_text(encoding="utf-8"),
)
for description in networks.NETWORKS[network](dtype):
    start, hits = time.perf_counter(), cache.hits
    line = {"graph": repr(description), "kind": type(description).__name__}
    try:
        plan = ops.plan(description)
        line |= {"workspace": plan.workspace, "engine": plan.notes[0]}
        addresses = dict.fromkeys([*description.inputs, *description.outputs], 4096)
        try:
            plan.run(addresses, workspace=4096)
        except BackendError as error:
            line["run"] = str(error)
        # Operands are bound by number: this gets as far as cuDNN asking for its handle.
        try:
            plan._graph.execute(dict.fromkeys(plan._identities.values(), 4096), 4096, handle=None)
        except RuntimeError as error:
            line["bound"] = "handle is NULL" in str(error)
    except BackendError as error:
        line["refused"] = str(error)
    line |= {"seconds": time.perf_counter() - start, "cached": cache.hits > hits}
    print(json.dumps(line), flush=True)
