"""Stand-ins for the CUDA driver and runtime, so that cuDNN plans and compiles where there is no GPU.

They answer questions about the device of a properties file, and accept compiled code without running it; whatever else
cuDNN asks for answers "no device". The names of the functions it asks for are read from its own files.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

NO_DEVICE = 100
NAME = re.compile(
    rb"\0(cu(?:da)?[A-Z][A-Za-z0-9]+(?:_v\d+)?)(?=\0)"
)  # of a function, in a table of strings
# Compiled code is "loaded" under a handle that nobody looks into.
HANDLES = (
    *("cuLibraryLoadData", "cuLibraryLoadFromFile", "cuLibraryGetKernel"),
    *("cuModuleLoadData", "cuModuleGetFunction", "cuKernelGetFunction"),
)
ACCEPTED = ("cuLibraryUnload", "cuModuleUnload", "cuKernelSetAttribute", "cuFuncSetAttribute")
DRIVER_BODIES = {
    **{name: "(void** handle) { *handle = (void*)16; return 0; }" for name in HANDLES},
    **{name: "(void) { return 0; }" for name in ACCEPTED},
    "cuKernelGetAttribute": "(int* value) { *value = 0; return 0; }",
}
ATTRIBUTES = {  # of cudaDeviceGetAttribute, by name in the properties
    8: "maxSharedMemoryPerBlock",
    10: "warpSize",
    16: "multiProcessorCount",
    97: "maxSharedMemoryPerBlockOptin",
}


def runtime_bodies(properties: dict[str, int]) -> dict[str, str]:
    values = {number: properties[name] for number, name in ATTRIBUTES.items()}
    values |= {75: properties["deviceVer"] // 100, 76: properties["deviceVer"] % 100 // 10}
    cases = " ".join(f"case {number}: *value = {v}; break;" for number, v in values.items())
    version = f"(int* version) {{ *version = {properties['driverVer']}; return 0; }}"
    return {
        "cudaGetDevice": "(int* device) { *device = 0; return 0; }",
        "cudaSetDevice": "(void) { return 0; }",
        "cudaGetDeviceCount": "(int* count) { *count = 1; return 0; }",
        "cudaDriverGetVersion": version,
        "cudaRuntimeGetVersion": version,
        "cudaGetLastError": "(void) { return 0; }",
        "cudaDeviceGetAttribute": "(int* value, int attribute) { "
        f"switch (attribute) {{ {cases} default: *value = 0; }} return 0; }}",
    }


def build(libraries: list[Path], properties: Path, folder: Path) -> list[Path]:
    """Compile `libcuda.so.1` and `libcudart.so.13` with every function that `libraries` name; return their files."""
    wanted: set[str] = set()
    for library in libraries:
        wanted |= {name.decode() for name in NAME.findall(library.read_bytes())}
    known = json.loads(properties.read_text(encoding="utf-8"))
    made = []
    for file, of_runtime, bodies in (
        ("libcuda.so.1", False, DRIVER_BODIES),
        ("libcudart.so.13", True, runtime_bodies(known)),
    ):
        names = {name for name in wanted if name.startswith("cuda") == of_runtime}
        names |= set(bodies)
        text = {"cudaGetErrorString", "cudaGetErrorName"}
        lines = [
            f'const char* {n}(void) {{ return "no GPU"; }}'
            if n in text
            else f"int {n}{bodies.get(n, f'(void) {{ return {NO_DEVICE}; }}')}"
            for n in sorted(names)
        ]
        source = folder / f"{file}.c"
        source.write_text("\n".join(lines) + "\n", encoding="utf-8")
        target = folder / file
        compiler = shutil.which("gcc") or "cc"
        subprocess.run(
            [compiler, "-w", "-shared", "-fPIC", f"-Wl,-soname,{file}", source, "-o", target],
            check=True,
        )
        made.append(target)
    return made
