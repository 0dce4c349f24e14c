"""The calls of NCCL, against a stand-in for CuPy: what it sums needs several GPUs and is not tested."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from threads import in_threads

from cortex.compute.group import DeviceGroup, DistributedError
from cortex.gpu_compute.nccl import NcclGroup


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    made: list[Any] = []

    class Communicator:
        def __init__(self, size: int, identifier: tuple[int, ...], rank: int) -> None:
            made.append(("communicator", size, identifier, rank))

        def allReduce(self, *arguments: int) -> None:  # noqa: N802 - CuPy's name
            made.append(("allReduce", *arguments))

    class Device:
        def __init__(self, number: int) -> None:
            made.append(("device", number))

        def __enter__(self) -> None:
            pass

        def __exit__(self, *_: object) -> None:
            pass

    cupy, cuda, nccl = ModuleType("cupy"), ModuleType("cupy.cuda"), ModuleType("cupy.cuda.nccl")
    nccl.get_unique_id = lambda: (7, -8, 9)  # type: ignore[attr-defined]
    nccl.NcclCommunicator = Communicator  # type: ignore[attr-defined]
    cuda.Device, cuda.nccl = Device, nccl  # type: ignore[attr-defined]
    for module in (cupy, cuda, nccl):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return made


def test_all_processes_join_with_the_id_of_the_first(calls: list[Any]) -> None:
    groups = in_threads(2, lambda host: NcclGroup(host, host.rank))
    joined = sorted(c for c in calls if c[0] == "communicator")
    assert joined == [("communicator", 2, (7, -8, 9), k) for k in range(2)]
    assert sorted(c for c in calls if c[0] == "device") == [("device", 0), ("device", 1)]
    assert all(isinstance(g, DeviceGroup) for g in groups)


def test_a_sum_is_enqueued_in_place(calls: list[Any]) -> None:
    (group,) = in_threads(1, lambda host: NcclGroup(host, 0))
    group.all_reduce_on_device(4096, 10, "bfloat16", 77)
    assert calls[-1] == ("allReduce", 4096, 4096, 10, 9, 0, 77)
    with pytest.raises(DistributedError, match="NCCL sums int32, .*, given bool"):
        group.all_reduce_on_device(4096, 10, "bool", 77)


def test_the_host_does_the_rest(calls: list[Any]) -> None:
    def use(host: Any) -> tuple[float, float, list[str]]:
        group = NcclGroup(host, 0)
        array, first = np.ones(3), np.array([host.rank + 5.0])
        group.all_reduce(array)
        group.broadcast(first)
        return array[0], first[0], group.gather(str(group.rank))

    assert in_threads(2, use) == [(2.0, 5.0, ["0", "1"])] * 2


def test_without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(
        DistributedError, match="NCCL is not available .*; install a CuPy that has it"
    ):
        NcclGroup(None, 0)  # type: ignore[arg-type]
