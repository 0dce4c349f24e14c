"""Descents as figures, as an animation, and as a page that a real browser opens without a network."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex.compute.errors import DescriptionError
from cortex.optimise import Adam, LBfgs, Sgd, functions, logs
from cortex.optimise import descent as d

pytest.importorskip("matplotlib")

from cortex.visualization import (  # noqa: E402 - after the question whether matplotlib is there
    descent_animation,
    descent_curves,
    descent_figure,
    descent_page,
    descent_paths,
)
from cortex.visualization.descent import contours, named_logs, series  # noqa: E402

VALLEY = functions.rosenbrock


def run(optimiser: Any, steps: int = 30, start: Any = (-1.2, 1.0), of: Any = VALLEY) -> logs.Log:
    return d.log(of, optimiser, start, d.limit_steps(steps))


TWO = {"Adam": run(Adam(0.02)), "L-BFGS": run(LBfgs(), 20)}


def drawn(figure: Any) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


# Figures


def test_a_figure_has_a_path_and_three_curves_per_log() -> None:
    figure = descent_figure(TWO, VALLEY, "Valley")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["Path", "Value", "Length of the gradient", "Length of the step"]
    for axes, key in zip(figure.axes[1:], ("value", "gradient", "last_step"), strict=True):
        assert len(axes.lines) == 2 and axes.get_yscale() == "log"
        for line, log in zip(axes.lines, TWO.values(), strict=True):
            np.testing.assert_array_equal(np.array(line.get_data()).T, series(log, key))
    assert len(drawn(figure)) > 10_000


def test_paths_are_where_the_parameters_were() -> None:
    axes = descent_paths(TWO, VALLEY).axes[0]
    paths = [line for line in axes.lines if line.get_gid() == "path"]
    for line, log in zip(paths, TWO.values(), strict=True):
        np.testing.assert_array_equal(np.array(line.get_data()).T, log.column("params"))
    assert [t.get_text() for t in axes.get_legend().get_texts()] == list(TWO)
    (low, high), points = (
        axes.get_xlim(),
        np.concatenate([log.column("params") for log in TWO.values()]),
    )
    assert low < points[:, 0].min() and points[:, 0].max() < high


def test_contours_are_the_function_and_survive_places_without_a_value() -> None:
    c = contours({"": TWO["Adam"]}, VALLEY, 11)
    assert c.values[3, 5] == VALLEY.value(np.array([c.xs[5], c.ys[3]]))
    assert (np.diff(c.levels) > 0).all()
    hole = functions.function(
        lambda x: float(np.log(x[0]) + x[1] ** 2), lambda x: np.array([1 / x[0], 2 * x[1]])
    )
    figure = descent_figure(run(Sgd(0.001), 3, (0.1, 1.0), hole), hole)
    assert len(drawn(figure)) > 5_000
    flat = functions.function(lambda x: 1.0, np.zeros_like)
    drawn(descent_paths(run(Sgd(), 2, of=flat), flat))  # neither a path nor a contour to draw


def test_other_numbers_of_parameters_have_curves_only() -> None:
    log = run(Adam(), 5, (1.0, 2.0, 3.0))
    assert len(descent_figure(log, VALLEY).axes) == 3
    assert len(descent_figure(log).axes) == 3
    assert len(descent_curves([log, log], ["first_moment"]).axes[0].lines) == 2
    with pytest.raises(
        DescriptionError, match="contours need two parameters, the logs have 3; use descent_curves"
    ):
        descent_paths(log, VALLEY)


def test_logs_read_from_files_and_of_training_are_drawn_too(tmp_path: Path) -> None:
    logs.save(TWO["Adam"], tmp_path / "log.npz")
    assert len(descent_figure(logs.load(tmp_path / "log.npz"), VALLEY).axes) == 4
    training = [{"step": k, "loss": 1 / (k + 1)} for k in range(9)]
    (line,) = descent_curves(training, ["loss"]).axes[0].lines
    assert line.get_xdata().tolist() == list(range(9))


def test_names_of_logs() -> None:
    log = TWO["Adam"]
    assert list(named_logs(log)) == [""]
    assert list(named_logs([log, log])) == ["log 1", "log 2"]
    assert list(named_logs({"a": log})) == ["a"]
    with pytest.raises(DescriptionError, match="expected at least one log"):
        named_logs([])
    with pytest.raises(DescriptionError, match="b has no records"):
        named_logs({"a": log, "b": []})
    with pytest.raises(DescriptionError, match="no record has the entry 'loss'"):
        descent_curves(log, ["loss"])


def test_an_animation_grows_the_paths(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    animation = descent_animation(TWO, VALLEY, frames=4)
    animation.save(tmp_path / "descent.gif", writer="pillow")
    data = (tmp_path / "descent.gif").read_bytes()
    assert data[:6] in (b"GIF89a", b"GIF87a") and len(data) > 10_000
    path = next(line for line in animation._fig.axes[0].lines if line.get_gid() == "path")
    assert len(path.get_xdata()) == 31  # the last frame has all of it


# The page

BROWSER = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
DRIVE = """<script>
const errors = [];
addEventListener("error", e => errors.push(e.message));
%s
document.body.dataset.errors = errors.join();
</script></body>"""


def payload(page: str) -> Any:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_page_is_one_file_with_all_numbers(tmp_path: Path) -> None:
    path = descent_page(TWO, tmp_path / "page.html", VALLEY, "A <valley>", "& more")
    page = path.read_text(encoding="utf-8")
    assert "<h1>A &lt;valley&gt;</h1>" in page and "&amp; more" in page and "{{" not in page
    assert not re.search(r"(src|href)\s*=|https?:|@import|url\(", page), (
        "nothing is loaded from elsewhere"
    )
    data = payload(page)
    assert [log["name"] for log in data["logs"]] == list(TWO)
    assert data["logs"][0]["params"] == TWO["Adam"].column("params").tolist()
    assert data["logs"][0]["lengths"]["value"] == TWO["Adam"].column("value").tolist()
    assert data["logs"][0]["lengths"]["last_step"][0] is None
    assert data["logs"][0]["reason"] == "The number of steps is reached."
    assert data["logs"][0]["more"][3]["first_moment"] == TWO["Adam"][3]["first_moment"].tolist()
    assert len(data["contours"]["values"]) == data["contours"]["count"] ** 2


def test_names_cannot_break_out_of_the_script(tmp_path: Path) -> None:
    evil = {"</script><script>alert(1)</script>": TWO["Adam"]}
    page = descent_page(evil, tmp_path / "page.html", VALLEY).read_text(encoding="utf-8")
    assert page.count("</script>") == 2
    assert payload(page)["logs"][0]["name"] == next(iter(evil))


def test_long_logs_are_thinned_and_keep_both_ends(tmp_path: Path) -> None:
    page = descent_page(run(Adam(), 5000), tmp_path / "page.html").read_text(encoding="utf-8")
    steps = payload(page)["logs"][0]["steps"]
    assert len(steps) <= 2000 and steps[0] == 0 and steps[-1] == 5000 and steps[1] == 1


def test_what_the_page_cannot_show(tmp_path: Path) -> None:
    with pytest.raises(DescriptionError, match="the log: its records have no entry 'params'"):
        descent_page([{"step": 0, "loss": 1.0}], tmp_path / "page.html")


def opened(path: Path, script: str = "", fragment: str = "") -> str:
    """The page as a browser has it after running its scripts and this one."""
    page = path.read_text(encoding="utf-8").replace("</body>", DRIVE % script)
    page = page.replace(
        "<head>",
        '<head><script>addEventListener("error", e => document.title = "error " + e.message)</script>',
    )
    driven = path.with_name("driven.html")
    driven.write_text(page, encoding="utf-8")
    result = subprocess.run(
        [str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,900",
         f"--user-data-dir={path.parent / 'profile'}", "--virtual-time-budget=3000", "--dump-dom",
         f"{driven.as_uri()}{fragment}"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "<title>error" not in result.stdout and 'data-errors=""' in result.stdout, result.stdout[
        -500:
    ]
    return result.stdout


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_a_browser_shows_the_step_of_the_slider(tmp_path: Path) -> None:
    path = descent_page(TWO, tmp_path / "page.html", VALLEY)
    dom = opened(path, fragment="#step=12")
    assert re.search(r"<output[^>]*>step 12</output>", dom)
    x, y = TWO["Adam"][12]["params"]
    assert f"<td>[{x:.6g}  {y:.6g}]</td>" in dom
    dom = opened(
        path,
        'slider.value = 30; slider.oninput(); document.getElementById("back").click();'
        "const pixels = document.getElementById('place').getContext('2d').getImageData(100, 100, 200, 200).data;"
        "document.body.dataset.colours = new Set(pixels).size;",
    )
    assert re.search(r"<output[^>]*>step 29</output>", dom)
    assert "The number of steps is reached." in dom  # L-BFGS has ended by then
    assert int(re.search(r'data-colours="(\d+)"', dom)[1]) > 10  # type: ignore[index]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_a_browser_shows_other_dimensions_and_numbers_that_are_none(tmp_path: Path) -> None:
    with np.errstate(all="ignore"):
        diverging = run(Sgd(10.0), 8, (1.0, 2.0, 3.0))
    assert not np.isfinite(diverging[-1]["params"]).all()
    dom = opened(
        descent_page(diverging, tmp_path / "page.html"), "play.click(); play.click(); move(99);"
    )
    assert re.search(r"<output[^>]*>step 8</output>", dom)
    assert "\u2013" in dom
