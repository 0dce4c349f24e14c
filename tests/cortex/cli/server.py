"""Runs `cortex` commands, each in a fork of this process, which has loaded what they all need.

A request is a line of JSON (folder, arguments, environment, files for the outputs), the answer the
exit code. Sixty commands take three seconds this way, and half a minute as interpreters of their own.
"""

from __future__ import annotations

import io
import json
import os
import sys
import traceback
from importlib.util import find_spec
from typing import Any

import numpy as np

import cortex
import cortex.cli.app
from cortex import datasets, losses, models, optimise, stopping, training
from cortex.cli import main, predict, show, train, verify

if find_spec("matplotlib"):
    from cortex.visualization import training_curves

    training_curves([{"epoch": 1, "loss": 1.0}]).savefig(io.BytesIO())  # finds its fonts

LOADED = (
    np,
    cortex,
    datasets,
    losses,
    models,
    optimise,
    stopping,
    training,
    predict,
    show,
    train,
    verify,
)


def child(request: dict[str, Any]) -> None:
    os.chdir(request["folder"])
    os.environ.update(request["environment"])
    for number, path in ((1, request["stdout"]), (2, request["stderr"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.argv = ["cortex", *request["arguments"]]
    code: Any = 0
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    for line in sys.stdin:
        number = os.fork()
        if number == 0:
            child(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]), flush=True)
