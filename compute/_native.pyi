"""The compiled CPU engine: kernels, one pool of threads, an executor of lists of instructions.

Buffers are addresses (`array.ctypes.data`): the caller keeps the arrays alive, correctly sized and
contiguous as the kernel asks; nothing here can check that. What a kernel expects, in which order,
stands in the header comment of its source, csrc/kernels/*.cpp.
"""

from collections.abc import Callable, Sequence

version: str
"""Version of the package this module was built from."""
compiler: str
"""Name and version of the compiler, e.g. "gcc 12.2"."""

class Executor:
    """A list of instructions that run in order, each over all threads, with a barrier after it.

    Every method that runs or changes an executor raises RuntimeError while it is running. Several
    executors may run at once from several Python threads: one at a time uses the pool, the others
    work on their own thread alone. Without `denormals` its kernels take and give numbers below the
    smallest normal one as zero; Python functions do not.
    """

    def __init__(self, denormals: bool = True) -> None: ...
    def add(
        self,
        kernel: str,
        buffers: Sequence[int],
        integers: Sequence[int],
        reals: Sequence[float],
        units: int,
        grain: int = 1,
        scratch: int = 0,
    ) -> int:
        """Append a kernel of the current instruction set; returns the instruction's index.

        Args:
            kernel: a name out of `kernels()`.
            buffers: addresses of the operands.
            integers: sizes, strides, flags.
            reals: scalars.
            units: number of work units; not more than `grain` of them run on the calling thread.
            grain: units that are handed out at a time.
            scratch: bytes of scratch memory each thread needs.

        Raises:
            ValueError: unknown kernel (the message offers near names), or a negative number.
        """

    def add_function(
        self,
        address: int,
        buffers: Sequence[int],
        integers: Sequence[int],
        reals: Sequence[float],
        units: int,
        grain: int = 1,
        name: str = "function",
    ) -> int:
        """Append a C function (buffers, integers, reals, start, stop): `numba.cfunc(...).address`.

        It is called from any thread of the pool without the GIL, and must outlive the executor.
        """

    def add_python(self, callable: Callable[[], object], name: str = "python") -> int:
        """Append a call on the thread that calls `run`, with the GIL; an exception ends the run."""

    def set_buffer(self, instruction: int, operand: int, address: int) -> None:
        """Replace an operand's address. Raises IndexError where there is none of that number."""

    def set_stretches(self, instruction: int, stretches: Sequence[int]) -> None:
        """Hand an instruction's units out by stretches, first and end of each, in this order.

        Raises ValueError where they do not cover all units once, IndexError where there is no such instruction.
        """

    def run(self) -> None:
        """Run all instructions without the GIL; allocates nothing."""

    def profile(self) -> list[float]:
        """Run once and return the seconds (wall clock) each instruction took."""

    def kernel_names(self) -> list[str]:
        """Name of each instruction."""

    @property
    def scratch_bytes(self) -> int:
        """Bytes of scratch memory, all threads together."""

    def __len__(self) -> int: ...

def run_kernel(
    name: str,
    buffers: Sequence[int],
    integers: Sequence[int],
    reals: Sequence[float],
    units: int,
    grain: int = 1,
    scratch: int = 0,
) -> None:
    """Run one kernel once; arguments and errors as `Executor.add`."""

def copy(target: object, given: object) -> bool:
    """Copy a contiguous array into one of its shape and dtype, from 256 KB on by all threads; else return False."""

def plan(name: str, integers: Sequence[int]) -> tuple[int, int, int]:
    """Units, bytes of scratch and partial results of a matmul, convolution or pool kernel.

    They depend on the integers alone, never on threads or instruction set. Partial results: how
    many copies of its output convolution_kernel_gradient writes; more than 1 need sum_partials.

    Raises:
        ValueError: not one of these kernels, or not as many integers as it takes.
    """

def kernels() -> list[str]:
    """Names of all kernels."""

def isa() -> str:
    """Instruction set of what is added from now on: the processor's best, or lower by CORTEX_ISA.

    Raises:
        ValueError: CORTEX_ISA is none of base, avx2, avx512.
    """

def available_isas() -> list[str]:
    """Instruction sets this processor runs, lowest first."""

def set_isa(name: str) -> None:
    """Choose the instruction set of what is added from now on; ValueError where not available."""

def get_num_threads() -> int:
    """Threads of the pool: CORTEX_NUM_THREADS, else OMP_NUM_THREADS, else `available_cores()`.

    Raises:
        ValueError: CORTEX_NUM_THREADS is not a number from 1 to 1024.
    """

def set_num_threads(threads: int) -> None:
    """Set the number of threads from the next run on. Raises ValueError outside 1 to 1024."""

def available_cores() -> int:
    """Cores this process may run on."""
