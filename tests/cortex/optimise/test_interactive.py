"""The interactive descent, line by line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from cortex.optimise import descent as d
from cortex.optimise import functions
from cortex.optimise.descent.interactive import HELP
from cortex.stopping import Reason


def typed(
    entries: Iterable[str],
    function: Any = functions.cross_paraboloid,
    initial: Any = (1, 2, 3),
    **more: Any,
) -> tuple[list[str], Any]:
    answers, lines = iter(entries), []

    def read(prompt: str) -> str:
        try:
            return next(answers)
        except StopIteration:
            raise EOFError from None

    return lines, d.interactive(function, initial, read=read, write=lines.append, **more)


def test_the_originals_session() -> None:
    entries = [
        "1",
        "0.1",
        "",
        "",
        ".01",
        ".05",
        "",
        "",
        "",
        ".1",
        *[""] * 16,
        "1",
        ".5",
        "",
        *[".1"] * 60,
    ]
    lines, result = typed(entries)
    shown = [
        tuple(part.split(" = ")[1] for part in line.split(", "))
        for line in lines
        if line.startswith("f")
    ]
    assert shown[:10] == [
        ("50", "27.8568"), ("3.2", "5.98665"), ("0.896", "2.12264"), ("0.52736", "1.46503"),
        ("0.506126", "1.43377"), ("0.408792", "1.28312"), ("0.330701", "1.15189"), ("0.267716", "1.03553"),
        ("0.216795", "0.931507"), ("0.138723", "0.744924"),
    ]  # fmt: skip
    values = [v for v, _ in shown]
    assert values[10:13] == ["0.0887815", "0.0568201", "0.0363649"]
    assert values[23:26] == ["0.000268325", "0.000171728", "0.000109906"]
    assert shown[25][1] == "0.0209672" and float(values[26]) < 1e-26
    refused = [i for i, line in enumerate(lines) if line.startswith("refused")]
    assert refused[0] == 1 and len(refused) >= 3
    assert result.value < 1e-26 and result.reason is Reason.ASKED


def test_force_and_back() -> None:
    lines, result = typed(["0.1", "1", "force", "back", "back", "back", "0.1", "force 0.5", "stop"])
    assert lines[0] == "f = 50, |grad| = 27.8568"
    assert lines[2].startswith("refused: f would be ")
    assert lines[3].startswith("f = ") and float(lines[3].split()[2].rstrip(",")) > 3.2
    assert lines[4] == lines[1] == lines[5]  # the forced step undone, then the refused one
    assert lines[6] == lines[0]  # and the first
    assert lines[7] == lines[1]
    assert result.steps == 2
    lines, _ = typed(["0.1", "0.1", "0.1", "back 2", "back 99"])
    assert lines[4] == lines[1] and lines[5] == lines[0]


def test_an_empty_entry_repeats_the_previous_one() -> None:
    lines, result = typed(["", "0.1", "", "back", "", "back 2", ""])
    assert lines[1] == HELP
    assert lines[2] == lines[4] and lines[3] == lines[5]
    assert lines[6] == lines[0] and lines[7] == HELP
    assert result.steps == 0


def test_negative_rates_go_uphill_and_are_refused() -> None:
    lines, result = typed(["-0.1", "force -0.1"])
    assert lines[1].startswith("refused") and float(lines[2].split()[2].rstrip(",")) > 50
    assert result.steps == 1


def test_normalised_rates_are_lengths() -> None:
    _, result = typed(["0.5"], functions.de_jong, [3, 4], normalise=True)
    np.testing.assert_allclose(result.params, [2.7, 3.6])
    _, plain = typed(["0.5"], functions.de_jong, [3, 4])
    np.testing.assert_allclose(plain.params, 0)
    _, still = typed(["0.5"], functions.de_jong, [0, 0], normalise=True)
    assert still.params.tolist() == [0, 0]


def test_what_stops() -> None:
    for word in ("q", "stop", "nan", "inf", "back x", "1 2", "force x", "force"):
        lines, result = typed([word, "0.1"])
        assert len(lines) == 1 and result.steps == 0, word


def test_ctrl_c_returns_the_place() -> None:
    answers = iter(["0.1"])

    def read(prompt: str) -> str:
        for answer in answers:
            return answer
        raise KeyboardInterrupt

    result = d.interactive(functions.de_jong, [1, 2], read=read, write=lambda line: None)
    assert result.reason is Reason.INTERRUPTED and result.steps == 1


def test_a_value_that_is_no_number_is_refused() -> None:
    hole = functions.function(lambda x: float(x[0]) if x[0] > 0 else float("nan"), np.ones_like)
    lines, result = typed(["2"], hole, [1.0])
    assert lines[1] == "refused: f would be nan" and result.steps == 0
