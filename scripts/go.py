"""Install cortex into its own virtual environment, then train or test.

    python3 scripts/go.py train    train LeNet on MNIST (more arguments: for `cortex train mnist`)
    python3 scripts/go.py test     lint, check types and test (more arguments: for pytest)

Needs Python 3.11 or later and, for the fast engine, a C++ compiler. Running it again installs only
what changed. Environment variables:

    CORTEX_VENV       where the virtual environment lies (.venv in this checkout)
    CORTEX_INSTALL    `editable` (the default: follows this checkout) or `wheel` (as a user has it)
    EXPECTED_ENGINE   `native`: fail unless the C++ engine was built
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = Path(os.environ.get("CORTEX_VENV", ROOT / ".venv")).absolute()
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")

# What an installation copies or compiles. An editable one copies no Python.
BUILT = ("pyproject.toml", "CMakeLists.txt", "csrc")
COPIED = ("cortex", "compute", "gpu_compute", "datasets", "visualization")


def main() -> int:
    """Run the command named on the command line and return the exit code."""
    command, arguments = (sys.argv[1:2] or [""])[0], sys.argv[2:]
    if command not in ("train", "test"):
        print(__doc__.strip())
        return 0 if command in ("-h", "--help") else 2
    make_environment()
    install(extras="[dev]" if command == "test" else "")
    report_engine()
    if command == "train":
        return run([BIN / "cortex", "train", "mnist", *arguments], cwd=Path.cwd())
    return test(arguments)


def make_environment() -> None:
    """Create the virtual environment unless it is there."""
    if sys.version_info < (3, 11):  # noqa: UP036 - older Pythons shall get the message
        found = [n for n in range(11, 20) if shutil.which(f"python3.{n}")]
        hint = f"use python3.{found[-1]}, which is installed" if found else "install a newer one"
        fail(f"cortex needs Python 3.11 or later, and this is {sys.version.split()[0]}: {hint}.")
    if PYTHON.exists() and (VENV / "pyvenv.cfg").exists():
        return
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        version = "{}.{}".format(*sys.version_info[:2])
        fail(
            "this Python cannot make virtual environments: its venv or ensurepip module is"
            f" missing. On Debian and Ubuntu: apt install python{version}-venv."
        )
    say(f"making a virtual environment in {VENV}")
    if run([sys.executable, "-m", "venv", "--clear", VENV]):
        fail(f"could not make a virtual environment in {VENV}; see the message above.")


def install(extras: str) -> None:
    """Install the checkout, unless the same state of it is installed already."""
    editable = os.environ.get("CORTEX_INSTALL", "editable") != "wheel"
    state = fingerprint(editable)
    record = VENV / "installed.txt"
    last_state, _, last_extras = record.read_text().partition(" ") if record.exists() else ("",) * 3
    extras = extras or last_extras
    if (last_state, last_extras) == (state, extras):
        return
    options = ["--quiet", "--disable-pip-version-check"]
    if not compiler():
        options.append("--config-settings=wheel.cmake=false")
    say("installing cortex and what it needs (one to two minutes the first time)")
    target = ["--editable"] if editable else []
    if run([PYTHON, "-m", "pip", "install", *options, *target, f"{ROOT}{extras}"]):
        fail("the installation failed; see the message above.")
    record.write_text(f"{state} {extras}")


def fingerprint(editable: bool) -> str:
    """Digest of everything on which an installation depends."""
    digest = hashlib.sha256(f"{editable} {sys.version} {compiler()}".encode())
    for name in BUILT if editable else BUILT + COPIED:
        top = ROOT / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and path.suffix not in (".pyc", ".so"):
                digest.update(f"\0{path.relative_to(ROOT).as_posix()}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def compiler() -> str | None:
    """Path of the C++ compiler that the build will use, or None."""
    names = [os.environ["CXX"].split()[0]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
    return next(filter(None, map(shutil.which, names)), None)


def report_engine() -> None:
    """Say plainly when the native engine is missing; fail if it was expected."""
    code = "import importlib.util as u, sys; sys.exit(not u.find_spec('cortex.compute._native'))"
    if run([PYTHON, "-P", "-c", code]) == 0:
        return
    cause = (
        f"the build with {compiler()} failed (`pip install -v .` shows why)"
        if compiler()
        else "no C++ compiler was found (install g++ or clang++ and run this again)"
    )
    say(f"the native engine is missing: {cause}. cortex runs on Numba and NumPy, many times slower")
    if os.environ.get("EXPECTED_ENGINE") == "native":
        fail("EXPECTED_ENGINE=native, but the native engine was not built.")


def test(arguments: list[str]) -> int:
    """Run every check, whatever the earlier ones found, and return 0 if all passed."""
    view = ROOT / "build" / "typing"
    workers = ["-n", "2"] if (os.cpu_count() or 1) > 1 and not arguments else []
    checks = {
        "ruff check": [BIN / "ruff", "check", "--output-format=concise", "."],
        "ruff format": [BIN / "ruff", "format", "--check", "--output-format=concise", "."],
        "typing view": [PYTHON, "scripts/typing_view.py"],
        "mypy": [BIN / "mypy", "--config-file", ROOT / "pyproject.toml", "-p", "cortex"],
        "pytest": [PYTHON, "-m", "pytest", *workers, *arguments],
    }
    failed = []
    for name, check in checks.items():
        say(name)
        if run(check, cwd=view if name == "mypy" else ROOT):
            failed.append(name)
    say("failed: " + ", ".join(failed) if failed else "all checks passed")
    return 1 if failed else 0


def run(command: list[str | Path], cwd: Path = ROOT) -> int:
    """Run a command to its end, Ctrl-C included, and return its exit code."""
    # The checkout must not hide the installed package, in children of children neither.
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    process = subprocess.Popen([str(part) for part in command], cwd=cwd, env=environment)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # the command got it as well and ends in its own way
            continue


def say(text: str) -> None:
    """Print one line of progress at once."""
    print(f"-- {text}", flush=True)


def fail(text: str) -> None:
    """Leave with one message."""
    sys.exit(f"go.py: {text}")


if __name__ == "__main__":
    sys.exit(main())
