"""Checkpoints: a directory that holds a network, the state of its training and the position in the data.

    checkpoint.json            description, options, position, names and checksums of the other files
    weights-<key>.safetensors  the network's parameters, by name: all that prediction needs
    state-<key>.safetensors    every persistent buffer as it is: flat parameters, optimiser, random counters

Writing is atomic: the tensors go to new files, then `checkpoint.json` is replaced in one operation, then older tensors
are removed. A reader sees the old checkpoint or the new one, whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cortex.compute.errors import CortexError

if TYPE_CHECKING:
    from cortex.network import Network

SCHEMA = 1
NAME = "checkpoint.json"


class CheckpointError(CortexError, ValueError):
    """A checkpoint is missing, damaged, or of a version that this cortex does not read."""


@dataclass(frozen=True)
class Checkpoint:
    """A network, the buffers and the position of its training; `options` is whatever plain data the writer added."""

    network: Network
    state: Mapping[str, np.ndarray] = field(default_factory=dict)
    position: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


def save_checkpoint(path: str | Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint into the directory `path`, which is made if need be; return the path.

    Raises:
        CheckpointError: the directory cannot be written.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = {
            "weights": _write_tensors(folder, "weights", checkpoint.network.parameters),
            "state": _write_tensors(folder, "state", checkpoint.state),
        }
        description = {
            "schema": SCHEMA,
            "network": checkpoint.network.to_data(),
            "position": dict(checkpoint.position),
            "options": dict(checkpoint.options),
            "files": files,
        }
        _replace(folder / NAME, json.dumps(description, indent=1).encode())
        _remove_others(folder, {f["name"] for f in files.values()})
    except OSError as error:
        raise CheckpointError(
            f"cannot write a checkpoint to {folder}: {error.strerror or error}"
        ) from error
    return folder


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read the checkpoint in the directory `path`.

    Raises:
        CheckpointError: it is missing, damaged (a checksum differs) or of an unknown version.
    """
    from cortex.network import Network

    folder = Path(path)
    file = folder / NAME
    if not file.is_file():
        raise CheckpointError(f"{folder} is not a checkpoint: there is no {NAME} in it")
    try:
        description = json.loads(file.read_text("utf-8"))
        if description["schema"] != SCHEMA:
            raise CheckpointError(
                f"{file}: schema {description['schema']} is not known here (expected {SCHEMA}); a newer cortex wrote it"
            )
        weights, state = (
            _read_tensors(folder, description["files"][kind]) for kind in ("weights", "state")
        )
        network = Network.from_data(description["network"]).with_parameters(weights)
        return Checkpoint(network, state, description["position"], description["options"])
    except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{file} is damaged: {type(error).__name__}: {error}") from error


def _write_tensors(folder: Path, kind: str, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    from safetensors.numpy import save

    data = save({name: np.array(a, order="C") for name, a in arrays.items()})
    digest = hashlib.sha256(data).hexdigest()
    name = f"{kind}-{digest[:16]}.safetensors"
    _replace(folder / name, data)
    return {"name": name, "sha256": digest, "bytes": len(data)}


def _read_tensors(folder: Path, entry: Mapping[str, Any]) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    name = Path(entry["name"]).name  # never outside the folder, whatever the description says
    file = folder / name
    if not file.is_file():
        raise CheckpointError(f"{folder}: the file {name} is missing")
    size = file.stat().st_size
    if size != entry["bytes"]:
        raise CheckpointError(f"{file}: expected {entry['bytes']} bytes, found {size}")
    data = file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != entry["sha256"]:
        raise CheckpointError(
            f"{file}: expected SHA-256 {entry['sha256']}, found {digest}; the file is damaged"
        )
    try:
        return dict(load(data))
    except SafetensorError as error:
        raise CheckpointError(f"{file} is damaged: {error}") from error


def _replace(target: Path, data: bytes) -> None:
    """Write a file so that it appears whole: to a temporary name, to the disk, then renamed."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _remove_others(folder: Path, keep: set[str]) -> None:
    for file in folder.glob("*-*.safetensors"):
        if file.name not in keep and file.name.split("-")[0] in ("weights", "state"):
            file.unlink(missing_ok=True)
