"""Writes the table of docs/device-kernels.md: registers, spills, shared memory and compile times of the device kernels.

    python scripts/device_report.py            write the table
    python scripts/device_report.py --check    compile only; fail where a kernel spills

Needs NVRTC (the wheel nvidia-cuda-nvrtc) or nvcc, no GPU. Nothing in the table was run on one.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__" and str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from cortex.compute.errors import BackendError  # noqa: E402
from cortex.gpu_compute.kernels import Variant, nvrtc, sources, translation_unit  # noqa: E402

ARCHITECTURES = (75, 80, 90, 100, 120)
DTYPES = ("float32", "float64", "bfloat16", "int64", "raw32")
LISTED = ("float32", "raw32")  # kernel by kernel; of the others the table has the most of any
PAGE = ROOT / "docs" / "device-kernels.md"
BEGIN, END = "<!-- table: scripts/device_report.py -->\n", "<!-- end of table -->\n"
VERBOSE = "--ptxas-options=-v"

_ENTRY = re.compile(r"Compiling entry function '(\w+)' for 'sm_\w+'")
_SPILL = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers(?:.*?(\d+) bytes smem)?")


@dataclass
class Usage:
    """What one kernel takes of a processor."""

    registers: int = 0
    spills: int = 0  # bytes stored and loaded
    shared: int = 0  # bytes


def usage(log: str) -> dict[str, Usage]:
    """Return what the assembler said of each kernel."""
    found: dict[str, Usage] = {}
    current = ""
    for line in log.splitlines():
        entry, spill, used = _ENTRY.search(line), _SPILL.search(line), _USED.search(line)
        if entry:
            current = entry.group(1)
            found[current] = Usage()
        elif spill and current:
            found[current].spills += int(spill.group(1)) + int(spill.group(2))
        elif used and current:
            found[current].registers = int(used.group(1))
            found[current].shared = int(used.group(2) or 0)
    return found


def unit(dtype: str) -> str:
    """Return one translation unit with every kernel that is made for a dtype."""
    return translation_unit(
        tuple(n for n, s in sources().items() if dtype in s.dtypes), Variant(dtype)
    )


def with_nvrtc(text: str, architecture: int) -> dict[str, Usage]:
    """Compile through NVRTC and return the usage of each kernel."""
    flags = (*nvrtc.OPTIONS, VERBOSE, f"-arch=sm_{architecture}")
    return usage(nvrtc.compile_with_log(text, flags)[1])


def with_nvcc(text: str, architecture: int) -> dict[str, Usage]:
    """Compile with nvcc and return the usage of each kernel.

    Raises:
        BackendError: nvcc is missing or refuses the source.
    """
    program = shutil.which("nvcc")
    if program is None:
        raise BackendError("nvcc is not installed")
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "unit.cu"
        path.write_text(text, encoding="utf-8")
        command = [
            program,
            "-std=c++17",
            "--fmad=false",
            "-cubin",
            f"-arch=sm_{architecture}",
            VERBOSE,
        ]
        done = subprocess.run(
            [*command, str(path), "-o", f"{path}bin"], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BackendError(
                f"nvcc refused the source for sm_{architecture}:\n{done.stderr[:4000]}"
            )
        return usage(done.stderr)


def compiler() -> tuple[str, object]:
    """Return the name of the compiler there is, and its function.

    Raises:
        BackendError: there is none.
    """
    if nvrtc.available() is None:
        return f"NVRTC {'.'.join(map(str, nvrtc.version()))}", with_nvrtc
    if shutil.which("nvcc"):
        said = subprocess.run(
            ["nvcc", "--version"], capture_output=True, text=True, check=False
        ).stdout
        found = re.search(r"release ([\d.]+)", said)
        return f"nvcc {found.group(1) if found else ''}", with_nvcc
    raise BackendError("neither NVRTC (pip install nvidia-cuda-nvrtc) nor nvcc is installed")


def _most(found: dict[str, Usage]) -> Usage:
    """Return the most registers and shared bytes of any kernel, and the spills of all."""
    every = found.values()
    return Usage(
        max(u.registers for u in every), sum(u.spills for u in every), max(u.shared for u in every)
    )


def _row(name: str, dtype: str, row: list[Usage]) -> str:
    cells = " | ".join(f"{u.registers}{f' ({u.spills} spilt)' if u.spills else ''}" for u in row)
    return f"| {name} | {dtype} | {max(u.shared for u in row)} | {cells} |"


def table() -> tuple[str, int]:
    """Return the table, and the bytes that all kernels together spill."""
    name, compile_unit = compiler()
    measured: dict[tuple[str, int], dict[str, Usage]] = {}
    seconds: dict[tuple[str, int], float] = {}
    for dtype in DTYPES:
        text = unit(dtype)
        for architecture in ARCHITECTURES:
            start = time.process_time()
            measured[dtype, architecture] = compile_unit(text, architecture)  # type: ignore[operator]
            seconds[dtype, architecture] = time.process_time() - start
    heads = " | ".join(f"sm_{a}" for a in ARCHITECTURES)
    lines = [
        f"Compiled with {name}, strict arithmetic (`--fmad=false`), 32-bit indices.",
        "",
        f"| registers of | dtype | shared bytes | {heads} |",
        f"|---|---|---|{'---|' * len(ARCHITECTURES)}",
    ]
    for dtype in DTYPES:
        units = [measured[dtype, a] for a in ARCHITECTURES]
        for kernel in sorted(units[0]) if dtype in LISTED else ():
            lines.append(_row(f"`{kernel}`", dtype, [found[kernel] for found in units]))
        lines.append(_row("the most of any", dtype, [_most(found) for found in units]))
    if compile_unit is with_nvrtc:
        lines += [
            "",
            f"| seconds to compile all kernels of | {heads} |",
            f"|---|{'---|' * len(ARCHITECTURES)}",
        ]
        for dtype in DTYPES:
            lines.append(
                f"| {dtype} | "
                + " | ".join(f"{seconds[dtype, a]:.1f}" for a in ARCHITECTURES)
                + " |"
            )
    spilt = sum(u.spills for found in measured.values() for u in found.values())
    lines += ["", f"Spilt (bytes stored and loaded) by all of them together: {spilt}.", ""]
    return "\n".join(lines), spilt


def main() -> int:
    """Write the table, or only check that nothing spills."""
    text, spilt = table()
    if "--check" in sys.argv:
        print(text)
        return 1 if spilt else 0
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}{text}{END}{after}", encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}; {spilt} bytes spilt")
    return 0


if __name__ == "__main__":
    sys.exit(main())
