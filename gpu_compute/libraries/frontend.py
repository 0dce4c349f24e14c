"""`DnnOps` by cuDNN's graph API, through the package `nvidia-cudnn-frontend` (not verified on a GPU).

A description becomes a graph, the graph a plan: the heuristic's best that fits the mode (strict float32 or TF32,
deterministic or not) and the workspace limit. Plans are kept in memory and, serialised, on disk; a plan runs from its
serialised form in either case, so that the first process and all later ones run the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from cortex.compute.errors import BackendError

from . import dnn
from .errors import Unsupported
from .graphs import build, identities
from .plan_cache import PlanCache, Stored

WITH_PRODUCTS = (dnn.Convolving, dnn.AttentionForward, dnn.AttentionBackward)
# Bytes. cuDNN 9.28 plans all of ResNet-50 at 256 images within 16 MiB, but would take 1 GB for the kernels it thinks
# fastest, in strict float32 for most layers, because those turn images around.
LARGEST_WORKSPACE = 1 << 28


def available() -> tuple[bool, str]:
    """Say whether cuDNN can be used here, and which one or why not; says nothing about a GPU."""
    try:
        return True, f"cuDNN {version()} with its frontend {cudnn().__version__}"
    except BackendError as error:
        return False, str(error)


@cache
def cudnn() -> Any:
    """Return the package `cudnn`, cuDNN's frontend.

    Raises:
        BackendError: it is not installed, or cannot be imported.
    """
    try:
        import cudnn as package
    except ImportError as error:
        raise BackendError(
            f"cuDNN's frontend cannot be imported: {error}; install it: pip install nvidia-cudnn-frontend"
        ) from None
    return package


def version() -> str:
    """Return the version of cuDNN itself, such as 9.28.0.

    Raises:
        BackendError: the frontend or cuDNN is missing.
    """
    try:
        number = cudnn().backend_version()
    except BackendError:
        raise
    except Exception as error:  # the frontend raises what its loader gives
        raise BackendError(
            f"cuDNN cannot be opened: {error}; install it: pip install nvidia-cudnn-cu13"
        ) from None
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


class FrontendDnn:
    """Convolutions, normalisations and attention by cuDNN.

    Options:
        tf32: let float32 operands be rounded to 10 bits of mantissa for the tensor cores; else strict float32.
        deterministic: only kernels that give the same bits every time.
        workspace_limit: bytes that one plan may need.
        cache: compiled plans on disk; None keeps none there.
        properties: the device to plan for, as cuDNN serialises its properties (JSON). Plans for a device that is not
            there are compiled and sized, but do not run. None: the GPU of number `device`.
    """

    def __init__(
        self,
        *,
        tf32: bool = False,
        deterministic: bool = False,
        workspace_limit: int = LARGEST_WORKSPACE,
        cache: PlanCache | None = None,
        properties: str | None = None,
        device: int = 0,
    ) -> None:
        self._cudnn, self._version = cudnn(), version()
        self.tf32, self.deterministic = tf32, deterministic
        self.workspace_limit, self.cache = workspace_limit, cache
        self._handle = _handle(device) if properties is None else None
        self._properties = properties
        self._number = device
        self._plans: dict[tuple[dnn.Description, int], FrontendPlan] = {}

    def plan(self, description: dnn.Description, choice: int = 0) -> FrontendPlan:
        """Compile a description, or take it from memory or disk; `choice` counts plans from the heuristic's best.

        Raises:
            Unsupported: cuDNN has no engine for it in this mode, or not so many.
            BackendError: cuDNN failed.
        """
        if (description, choice) not in self._plans:
            self._plans[description, choice] = self._made(description, choice)
        return self._plans[description, choice]

    def key(self, description: dnn.Description, choice: int = 0) -> str:
        """Return everything that a compiled plan depends on."""
        mode = f"tf32={self.tf32} deterministic={self.deterministic} limit={self.workspace_limit}"
        frontend = self._cudnn.__version__
        libraries = f"cudnn {self._version}, frontend {frontend}"
        device = self._properties or device_properties(self._number)
        return f"{libraries}; {mode}; {device}; {description!r}; choice {choice}"

    def _made(self, description: dnn.Description, choice: int) -> FrontendPlan:
        if self.cache is None:
            return self._opened(description, self._compiled(description, choice))
        key = self.key(description, choice)
        stored = self.cache.load(key)
        if stored is not None:
            try:
                return self._opened(description, stored)
            except Unsupported:  # from a cuDNN that calls itself the same; compile it again
                self.cache.drop(key)
        stored = self._compiled(description, choice)
        self.cache.store(key, stored)
        return self._opened(description, stored)

    def _graph(self, description: dnn.Description) -> Any:
        cudnn = self._cudnn
        return cudnn.pygraph(
            name=type(description).__name__,
            io_data_type=cudnn.data_type.FLOAT,
            intermediate_data_type=cudnn.data_type.FLOAT,
            compute_data_type=cudnn.data_type.FLOAT,
            **self._target(),
        )

    def _target(self) -> dict[str, Any]:
        """Return the arguments that say which device a graph is for."""
        if self._properties is None:
            return {"handle": self._handle}
        return {"device_property": self._cudnn.create_device_properties(self._properties)}

    def _compiled(self, description: dnn.Description, choice: int) -> Stored:
        """Plan and compile; return the plan as cuDNN serialises it."""
        cudnn, graph = self._cudnn, self._graph(description)
        try:
            build(cudnn, graph, description)
            graph.validate()
            graph.build_operation_graph()
            graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
            unwanted = self._unwanted(description)
            if unwanted:
                graph.deselect_numeric_notes(unwanted)
            graph.deselect_workspace_greater_than(self.workspace_limit)
            graph.check_support()
            name = _build_choice(cudnn, graph, choice)
            return Stored(bytes(graph.serialize(as_bytes=True)), {"engine": name})
        except (cudnn.cudnnGraphNotSupportedError, NotImplementedError, ValueError) as error:
            raise Unsupported(self._refusal(description, error)) from None
        except RuntimeError as error:
            raise BackendError(f"cuDNN failed to compile {description}: {error}") from None

    def _unwanted(self, description: dnn.Description) -> list[Any]:
        """Return the notes of engines that the mode excludes."""
        note = self._cudnn.numerical_note
        found = [note.NONDETERMINISTIC] if self.deterministic else []
        return found + (
            [note.TENSOR_CORE, note.DOWN_CONVERT_INPUTS] if self._strict(description) else []
        )

    def _strict(self, description: dnn.Description) -> bool:
        """Whether products must be of whole float32; what has no products bears the notes of its engine in vain."""
        multiplies = isinstance(description, WITH_PRODUCTS)
        return multiplies and description.dtype == "float32" and not self.tf32

    def _refusal(self, description: dnn.Description, error: Exception) -> str:
        ways = ["compute it by the backend's own kernels"]
        if self._strict(description):
            ways.append("allow TF32")
        if self.deterministic:
            ways.append("leave deterministic mode")
        ways.append(f"raise the workspace limit of {self.workspace_limit} bytes")
        first = next((line for line in str(error).splitlines() if line.strip()), "no reason given")
        return f"cuDNN {self._version} refused {description}: {first}; {', or '.join(ways)}"

    def _opened(self, description: dnn.Description, stored: Stored) -> FrontendPlan:
        cudnn = self._cudnn
        try:
            graph = cudnn.pygraph(name=type(description).__name__, **self._target())
            if self._handle is None:
                graph.deserialize(stored.plan)
            else:
                graph.deserialize(self._handle, stored.plan)
            return FrontendPlan(description, graph, self._handle, stored.notes)
        except (cudnn.cudnnGraphNotSupportedError, RuntimeError, ValueError) as error:
            raise Unsupported(
                f"cuDNN {self._version} does not open the plan it compiled for {description}: {error}; "
                "remove the folder of plans and try again"
            ) from None


class FrontendPlan:
    """A compiled graph; `workspace` in bytes."""

    def __init__(
        self, description: dnn.Description, graph: Any, handle: Any, notes: Mapping[str, str]
    ) -> None:
        self.description, self._graph, self._handle = description, graph, handle
        self.workspace = int(graph.get_workspace_size())
        self.notes = tuple(notes.values())
        self._identities = identities(description)

    def run(self, addresses: Mapping[str, int], *, workspace: int = 0, stream: int = 0) -> None:
        """Enqueue the graph; see `DnnPlan`."""
        dnn.check_addresses(self.description, addresses)
        if self._handle is None:
            raise BackendError(
                f"{type(self.description).__name__}: planned for a device that is not there; plans made from "
                "properties do not run"
            )
        if self.workspace and not workspace:
            raise BackendError(
                f"{type(self.description).__name__}: the plan needs a workspace of {self.workspace} bytes, given none"
            )
        package = cudnn()
        try:
            package.set_stream(self._handle, stream)
            bound = {number: addresses[name] for name, number in self._identities.items()}
            self._graph.execute(bound, workspace, handle=self._handle)
        except RuntimeError as error:
            raise BackendError(f"cuDNN failed to run {self.description}: {error}") from None


def _build_choice(cudnn: Any, graph: Any, choice: int) -> str:
    """Compile the plan of cuDNN itself that `choice` others precede among those that compile; return its name.

    The frontend also ranks engines written in Python, which do not serialise as plans and need more packages.
    """
    last: Exception = cudnn.cudnnGraphNotSupportedError("there are not so many engines")
    for index in range(graph.get_execution_plan_count()):
        try:
            graph.build_plan_at_index(index)
        except (cudnn.cudnnGraphNotSupportedError, NotImplementedError, ValueError) as error:
            last = error
            continue
        if graph.selected_engine is None:
            if not choice:
                return str(graph.get_plan_name_at_index(index))
            choice -= 1
    raise last


@cache
def _handle(device: int) -> Any:
    """Return the handle of a device, which must be current; it lives as long as the process."""
    try:
        return cudnn().create_handle()
    except Exception as error:  # the frontend raises what CUDA gives
        raise BackendError(
            f"cuDNN cannot be used on device {device}: {error}; `nvidia-smi` says whether driver and GPU work"
        ) from None


@cache
def device_properties(device: int = 0) -> str:
    """Return the properties of a GPU as cuDNN serialises them: JSON, fit for `properties` elsewhere.

    Raises:
        BackendError: there is no such GPU.
    """
    try:
        return str(cudnn().create_device_properties(device).serialize())
    except BackendError:
        raise
    except Exception as error:
        raise BackendError(
            f"cuDNN cannot read the properties of device {device}: {error}"
        ) from None
