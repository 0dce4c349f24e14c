"""Everything there is to verify on a GPU, in one go, and the record of it.

    python scripts/verify_gpu.py             # build, test, measure, write docs/gpu-verification.{md,json}
    python scripts/verify_gpu.py --no-benchmarks --no-build

Only a run on a GPU writes the record: without one this prints the reason and ends with 1, and the page goes on saying
that nothing was verified. Needs the packages of the extra `gpu`, pytest, and for comparisons PyTorch and JAX.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE, RECORD = ROOT / "docs" / "gpu-verification.md", ROOT / "docs" / "gpu-verification.json"
PACKAGES = (
    "cupy-cuda13x", "nvidia-cudnn-frontend", "nvidia-cudnn-cu13", "nvidia-cublas", "nvidia-cuda-nvrtc", "numpy",
    "torch", "jax",
)  # fmt: skip
sys.path.append(str(ROOT))


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify and record; return 0 if every test passed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--no-build", action="store_true", help="take the extension as it is")
    parser.add_argument("--no-benchmarks", action="store_true", help="tests only")
    parser.add_argument("--quick", action="store_true", help="measure MLP and LeNet only")
    options = parser.parse_args(arguments)
    if not options.no_build:
        subprocess.run(["sh", "scripts/build_native.sh", sys.executable], cwd=ROOT, check=True)
    from cortex.compute import availability

    state = availability("cuda")
    if not state.works:
        print(f"not verified on a GPU: {state.reason}", file=sys.stderr)
        return 1
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    tests = run_tests(build / "gpu-tests.xml")
    timings = [] if options.no_benchmarks else run_benchmarks(build / "gpu.json", options.quick)
    record = {"machine": machine(), "tests": tests, "timings": timings}
    write(record, PAGE, RECORD)
    failed = [t["name"] for t in tests if t["status"] == "failed"]
    print(f"{len(tests)} tests, {len(failed)} failed; see {PAGE}")
    return 1 if failed or not tests else 0


def run_tests(results: Path) -> list[dict[str, Any]]:
    """Run `pytest -m gpu` and return name, status and seconds of each test."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "pytest",
        "-m",
        "gpu",
        "-q",
        f"--junitxml={results}",
        "tests",
    ]
    subprocess.run(command, cwd=ROOT, check=False)
    return outcomes(results.read_text("utf-8"))


def outcomes(xml: str) -> list[dict[str, Any]]:
    """Return name, status and seconds of each test in a JUnit file."""
    found = []
    for case in ElementTree.fromstring(xml).iter("testcase"):  # noqa: S314 - what pytest has just written
        kinds = {child.tag for child in case}
        status = (
            "failed"
            if kinds & {"failure", "error"}
            else "skipped"
            if "skipped" in kinds
            else "passed"
        )
        found.append(
            {"name": case.get("name"), "status": status, "seconds": float(case.get("time", 0))}
        )
    return found


def run_benchmarks(results: Path, quick: bool) -> list[dict[str, Any]]:
    """Run benchmarks/gpu.py and return its results; none where it failed, which it says itself."""
    command = [
        sys.executable,
        "benchmarks/gpu.py",
        f"--json={results}",
        *(["--quick"] if quick else []),
    ]
    results.unlink(missing_ok=True)
    subprocess.run(command, cwd=ROOT, check=False)
    return json.loads(results.read_text("utf-8")) if results.exists() else []


def machine() -> dict[str, Any]:
    """Return what the results depend on: date, commit, GPU, driver, libraries, packages."""
    from cortex.compute import get_backend
    from cortex.gpu_compute.libraries.report import collect

    backend: Any = get_backend("cuda")
    found = backend.device.properties
    versions = dict(found.versions) | {r["name"]: r["version"] or r["detail"] for r in collect()}
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": _git("rev-parse", "HEAD"),
        "clean": not _git("status", "--porcelain"),
        "backend": backend.name,
        "gpu": found.name,
        "compute capability": found.capability,
        "memory": found.memory,
        "python": sys.version.split()[0],
        "cores": os.cpu_count(),
        "versions": versions | {n: v for n in PACKAGES if (v := _version(n))},
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def page(record: Mapping[str, Any]) -> str:
    """Return the record as a page."""
    about, tests = record["machine"], record["tests"]
    counts = {s: sum(t["status"] == s for t in tests) for s in ("passed", "failed", "skipped")}
    changed = "" if about["clean"] else ", with changes that are not committed"
    lines = [
        "# Verified on a GPU",
        "",
        "Written by `scripts/verify_gpu.py` on the machine it describes; `gpu-verification.json` has every test.",
        "",
        f"{about['date']}, {about['gpu']} (compute capability {about['compute capability']}), "
        f"commit `{about['commit'][:12]}`{changed}, Python {about['python']}.",
        "",
        f"**{counts['passed']:,} tests passed, {counts['failed']:,} failed, {counts['skipped']:,} skipped.**",
        "",
        "| package | version |",
        "|---|---|",
        *(f"| {name} | {version} |" for name, version in about["versions"].items()),
    ]
    failed = [t["name"] for t in tests if t["status"] == "failed"]
    if failed:
        lines += ["", "## Failed", "", *(f"- `{name}`" for name in failed)]
    if record["timings"]:
        lines += [
            "",
            "## Timings",
            "",
            "Data on the device, warm, medians between events of the stream.",
            "",
        ]
        lines += ["| workload | | ms per step | least .. most | MiB |", "|---|---|---|---|---|"]
        for t in record["timings"]:
            memory = f"{t['bytes'] / 2**20:,.0f}" if t["bytes"] else ""
            spread = f"{1e3 * t['least']:.3f} .. {1e3 * t['most']:.3f}"
            cells = (t["workload"], t["contender"], f"{1e3 * t['median']:.3f}", spread, memory)
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def write(record: Mapping[str, Any], to_page: Path, to_record: Path) -> None:
    """Write the record for people and for programs."""
    to_record.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    to_page.write_text(page(record), "utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
