"""Sums over processes in the memory of GPUs: NCCL moves the numbers, a group of the host (MPI) does the rest.

Each process drives one GPU. Process 0 makes the id of the communicator, the host's group hands it out. A sum is
enqueued on a stream like a kernel: the host waits for nothing, and what comes behind it on the stream sees the sum.

Not verified: this needs a machine with several GPUs; so far only its calls are tested, against a stand-in for CuPy.
"""

from __future__ import annotations

import json

from cortex.compute.group import DistributedError, Group, HostedGroup

# ncclDataType_t; CuPy names some of them only
TYPES = {"int32": 2, "int64": 4, "float16": 6, "float32": 7, "float64": 8, "bfloat16": 9}
SUM = 0  # ncclRedOp_t


class NcclGroup(HostedGroup):
    """A group of processes with a GPU each; arrays of the host go through the host's group."""

    def __init__(self, host: Group, device: int) -> None:
        """Join all processes of `host`, this one with GPU number `device` of its machine."""
        try:
            from cupy.cuda import Device, nccl
        except ImportError as error:
            raise DistributedError(
                f"NCCL is not available ({error}); install a CuPy that has it, such as cupy-cuda13x"
            ) from error
        super().__init__(host)
        mine = json.dumps(list(nccl.get_unique_id())) if host.rank == 0 else ""
        identifier = tuple(json.loads(host.gather(mine)[0]))
        with Device(device):
            self._communicator = nccl.NcclCommunicator(host.size, identifier, host.rank)

    def all_reduce_on_device(self, address: int, count: int, dtype: str, stream: int) -> None:
        """Enqueue the in-place sum of `count` elements at an address of the device.

        Raises:
            DistributedError: NCCL knows no such dtype.
        """
        if dtype not in TYPES:
            raise DistributedError(f"NCCL sums {', '.join(TYPES)}, given {dtype}")
        self._communicator.allReduce(address, address, count, TYPES[dtype], SUM, stream)
