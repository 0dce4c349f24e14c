"""How plans are chosen, kept and run, with a stand-in for the package `cudnn` that records what it is asked."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from descriptions import DESCRIPTIONS

from cortex.compute.errors import BackendError
from cortex.compute.ops.window import Window
from cortex.gpu_compute.libraries import dnn, frontend
from cortex.gpu_compute.libraries.errors import Unsupported
from cortex.gpu_compute.libraries.plan_cache import PlanCache, Stored

CONVOLUTION = dnn.ConvolutionForward((2, 4, 8, 8), (4, 4, 3, 3), Window.of(3, 1, 1))


class NotSupported(Exception):
    """As the frontend's cudnnGraphNotSupportedError."""


class Tensor:
    """Takes every setter, and remembers what it was set to."""

    def __init__(self, **given) -> None:
        self.known = given

    def __getattr__(self, name: str):
        if not name.startswith("set_"):
            raise AttributeError(name)
        return lambda value: self.known.update({name[4:]: value}) or self


class Graph:
    """Adds whatever node is asked for; three plans, of which `package.engines` says what each is."""

    OUTPUTS = {"batchnorm": 5, "batchnorm_backward": 3, "layernorm": 3, "layernorm_backward": 3}
    OUTPUTS |= {"rmsnorm": 2, "rmsnorm_backward": 3, "sdpa": 2, "sdpa_backward": 3}

    def __init__(self, package, **options) -> None:
        self.package, self.options, self.tensors, self.calls = package, options, [], []
        self.selected_engine, self.built, self.loaded = None, None, None
        package.graphs.append(self)

    def tensor(self, **given) -> Tensor:
        self.tensors.append(Tensor(**given))
        return self.tensors[-1]

    def __getattr__(self, name: str):
        def call(*given, **named):
            self.calls.append((name, given, named))
            made = [Tensor() for _ in range(self.OUTPUTS.get(name, 1))]
            self.tensors += made
            return made if len(made) > 1 else made[0]

        return call

    def get_execution_plan_count(self) -> int:
        return len(self.package.engines)

    def build_plan_at_index(self, index: int) -> None:
        if self.package.engines[index] == "refuses":
            raise NotSupported("engine refuses")
        self.selected_engine = self.package.engines[index].startswith("python") or None
        self.built = index

    def get_plan_name_at_index(self, index: int) -> str:
        return self.package.engines[index]

    def serialize(self, as_bytes: bool) -> bytes:
        return json.dumps(self.built).encode()

    def deserialize(self, *given) -> None:
        if given[-1] == b"stale":
            raise RuntimeError("another version")
        self.loaded = given

    def get_workspace_size(self) -> int:
        return 1000

    def execute(self, bound, workspace, handle) -> None:
        self.package.runs.append((bound, workspace, handle))


@pytest.fixture
def package(monkeypatch) -> SimpleNamespace:
    made = SimpleNamespace(
        __version__="1.32.0",
        backend_version=lambda: 92800,
        create_handle=lambda: "handle",
        set_stream=lambda handle, stream: made.streams.append((handle, stream)),
        create_device_properties=lambda given: SimpleNamespace(
            given=given, serialize=lambda: f"device {given}"
        ),
        cudnnGraphNotSupportedError=NotSupported,
        numerical_note=SimpleNamespace(
            TENSOR_CORE="t", DOWN_CONVERT_INPUTS="d", NONDETERMINISTIC="n"
        ),
        heur_mode=SimpleNamespace(A="A", FALLBACK="F"),
        scalar_type=SimpleNamespace(COMPILE_TIME_CONST="constant"),
        norm_forward_phase=SimpleNamespace(TRAINING="training"),
        data_type=SimpleNamespace(FLOAT="f32", HALF="f16", BFLOAT16="bf16", BOOLEAN="bit"),
        graphs=[],
        runs=[],
        streams=[],
        engines=["eng0", "eng1"],
    )
    made.pygraph = lambda **options: Graph(made, **options)
    cached = (frontend.cudnn, frontend._handle, frontend.device_properties)
    monkeypatch.setattr(frontend, "cudnn", lambda: made)
    for function in cached[1:]:
        function.cache_clear()
    yield made
    for function in cached[1:]:
        function.cache_clear()


def called(package, name: str) -> list:
    return [c for g in package.graphs for c in g.calls if c[0] == name]


@pytest.mark.parametrize("description", DESCRIPTIONS, ids=lambda d: type(d).__name__)
def test_operands_are_tensors_with_their_numbers_and_layouts(package, description) -> None:
    frontend.FrontendDnn().plan(description)
    known = {t.known["uid"]: t.known for t in package.graphs[0].tensors if "uid" in t.known}
    names = [*description.inputs, *description.outputs]
    assert sorted(known) == list(range(1, len(names) + 1))
    types = {"float32": "f32", "float16": "f16", "bfloat16": "bf16", "bits": "bit"}
    for number, name in enumerate(names, 1):
        operand = (description.inputs | description.outputs)[name]
        dim, stride = known[number]["dim"], known[number]["stride"]
        assert len(dim) == len(stride) == 4
        assert known[number]["data_type"] == types[operand.dtype]
        assert sorted(n for n in dim if n > 1) == sorted(n for n in operand.shape if n > 1)
        held = {(n, s) for n, s in zip(operand.shape, operand.strides, strict=True) if n > 1}
        assert held == {(n, s) for n, s in zip(dim, stride, strict=True) if n > 1}
        assert known[number].get("output", False) == (name in description.outputs)


@pytest.mark.parametrize(
    ("mode", "dtype", "notes"),
    [
        ({}, "float32", ["t", "d"]),
        ({"tf32": True}, "float32", None),
        ({}, "bfloat16", None),
        ({"deterministic": True}, "float16", ["n"]),
        ({"deterministic": True}, "float32", ["n", "t", "d"]),
    ],
)
def test_the_mode_excludes_engines_by_their_notes(package, mode, dtype, notes) -> None:
    d = dnn.ConvolutionForward((2, 4, 8, 8), (4, 4, 3, 3), Window.of(3), dtype=dtype)
    frontend.FrontendDnn(**mode, workspace_limit=123).plan(d)
    assert [c[1][0] for c in called(package, "deselect_numeric_notes")] == (
        [notes] if notes else []
    )
    assert [c[1] for c in called(package, "deselect_workspace_greater_than")] == [(123,)]


def test_what_multiplies_nothing_is_strict_anyway(package) -> None:
    frontend.FrontendDnn().plan(dnn.BatchNormTraining((2, 4, 8, 8), 1e-3))
    assert not called(package, "deselect_numeric_notes")


def test_momentum_is_that_of_the_old_value(package) -> None:
    frontend.FrontendDnn().plan(dnn.BatchNormTraining((2, 4, 8, 8), 1e-3, momentum=0.75))
    assert [c[1][0] for c in called(package, "tensor_scalar")] == [1e-3, 0.25]


def test_the_first_plan_of_cudnn_that_compiles_is_taken(package) -> None:
    package.engines = ["refuses", "python engine", "eng7", "eng8"]
    ops = frontend.FrontendDnn()
    assert ops.plan(CONVOLUTION).notes == ("eng7",)
    assert ops.plan(CONVOLUTION, 1).notes == ("eng8",)
    with pytest.raises(Unsupported, match="engine refuses"):
        ops.plan(CONVOLUTION, 2)


def test_a_plan_is_made_once(package) -> None:
    ops = frontend.FrontendDnn()
    assert ops.plan(CONVOLUTION) is ops.plan(CONVOLUTION)
    assert len(package.graphs) == 2  # the graph, and the plan that was opened


def test_a_refusal_says_what_to_do(package) -> None:
    package.engines = []
    with pytest.raises(Unsupported) as error:
        frontend.FrontendDnn(deterministic=True, workspace_limit=99).plan(CONVOLUTION)
    for part in (
        "cuDNN 9.28.0 refused ConvolutionForward(x=(2, 4, 8, 8)",
        "there are not so many engines; compute it by the backend's own kernels",
        "or allow TF32, or leave deterministic mode, or raise the workspace limit of 99 bytes",
    ):
        assert part in str(error.value)


def test_plans_on_disk_are_opened_not_compiled(package, tmp_path) -> None:
    first = frontend.FrontendDnn(cache=PlanCache(tmp_path)).plan(CONVOLUTION)
    package.graphs.clear()
    again = frontend.FrontendDnn(cache=PlanCache(tmp_path)).plan(CONVOLUTION)
    assert again.notes == first.notes == ("eng0",)
    assert [g.loaded for g in package.graphs] == [("handle", b"0")]


def test_a_plan_of_another_mode_device_or_version_is_not_opened(package, tmp_path) -> None:
    keys = {frontend.FrontendDnn().key(CONVOLUTION)}
    keys |= {frontend.FrontendDnn(tf32=True).key(CONVOLUTION)}
    keys |= {frontend.FrontendDnn(deterministic=True).key(CONVOLUTION)}
    keys |= {frontend.FrontendDnn(workspace_limit=1).key(CONVOLUTION)}
    keys |= {frontend.FrontendDnn(properties="another").key(CONVOLUTION)}
    keys |= {frontend.FrontendDnn().key(CONVOLUTION, 1)}
    package.backend_version = lambda: 91000
    keys |= {frontend.FrontendDnn().key(CONVOLUTION)}
    assert len(keys) == 7


def test_a_plan_that_does_not_open_is_compiled_anew(package, tmp_path) -> None:
    cache = PlanCache(tmp_path)
    ops = frontend.FrontendDnn(cache=cache)
    cache.store(ops.key(CONVOLUTION), Stored(b"stale"))
    assert ops.plan(CONVOLUTION).notes == ("eng0",)
    assert cache.load(ops.key(CONVOLUTION)) == Stored(b"0", {"engine": "eng0"})


def test_running_binds_addresses_by_number_on_the_stream(package) -> None:
    plan = frontend.FrontendDnn().plan(CONVOLUTION)
    assert plan.workspace == 1000
    plan.run({"y": 30, "x": 10, "w": 20}, workspace=4096, stream=7)
    assert package.runs == [({1: 10, 2: 20, 3: 30}, 4096, "handle")]
    assert package.streams == [("handle", 7)]
    with pytest.raises(BackendError, match="needs a workspace of 1000 bytes, given none"):
        plan.run({"y": 30, "x": 10, "w": 20})
    with pytest.raises(BackendError, match="no address of w"):
        plan.run({"y": 30, "x": 10}, workspace=4096)
    assert len(package.runs) == 1


def test_plans_for_a_device_that_is_not_there_do_not_run(package) -> None:
    plan = frontend.FrontendDnn(properties="{}").plan(CONVOLUTION)
    assert all(g.options["device_property"].given == "{}" for g in package.graphs)
    with pytest.raises(BackendError, match="planned for a device that is not there"):
        plan.run({"y": 30, "x": 10, "w": 20}, workspace=4096)


def test_no_gpu_is_said_with_what_to_do(package) -> None:
    def refuse(*_):
        raise RuntimeError("cudaGetDeviceCount failed")

    package.create_handle = package.create_device_properties = refuse
    with pytest.raises(BackendError, match="device 0: cudaGetDeviceCount failed; `nvidia-smi`"):
        frontend.FrontendDnn()
    with pytest.raises(BackendError, match="cannot read the properties of device 0"):
        frontend.device_properties(0)


def test_a_missing_cudnn_is_said(package) -> None:
    def missing():
        raise RuntimeError("libcudnn.so.9 not found")

    package.backend_version = missing
    assert frontend.available() == (
        False,
        "cuDNN cannot be opened: libcudnn.so.9 not found; install it: pip install nvidia-cudnn-cu13",
    )


@pytest.mark.parametrize("ceil", [False, True])
def test_windows_of_one_axis_get_a_second(package, ceil) -> None:
    window = Window.of(3, 2, [(1, 0)], ceil=ceil, rank=1)
    d = dnn.ConvolutionForward((2, 4, 8), (4, 4, 3), window)
    frontend.FrontendDnn().plan(d)
    ((_, _, named),) = called(package, "conv_fprop")
    assert named["pre_padding"] == [0, 1] and named["stride"] == [1, 2]
    assert named["dilation"] == [1, 1]
    # 4 windows either way: rounded up, the last one ends where the input does
    assert d.y == (2, 4, 4) and named["post_padding"] == [0, 0]


def test_a_window_that_hangs_over_the_end_is_padded_there(package) -> None:
    d = dnn.ConvolutionForward((1, 4, 8, 8), (4, 4, 3, 3), Window.of(3, 2, ceil=True))
    frontend.FrontendDnn().plan(d)
    ((_, _, named),) = called(package, "conv_fprop")
    assert d.y == (1, 4, 4, 4) and named["post_padding"] == [1, 1]
