"""Figures: what they show, that they draw without a display, and what they say about wrong input."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex import visualization
from cortex.compute.errors import DescriptionError
from cortex.models import lenet, mlp
from cortex.observers import LogFile

pytest.importorskip("matplotlib")

from cortex.visualization import (  # noqa: E402 - after the question whether matplotlib is there
    confusion_figure,
    filter_grid,
    network_filters,
    training_curves,
    worst_mistakes,
)
from cortex.visualization.curves import points, smoothed  # noqa: E402
from cortex.visualization.filters import _colours, mosaic  # noqa: E402

BATCHES = 20


def rows(epochs: int = 3) -> list[dict[str, Any]]:
    """A log as training writes it: the loss is the mean over the epoch so far, here of 1 / (1 + step)."""
    found, step = [], 0
    for epoch in range(epochs):
        total = 0.0
        for batch in range(1, BATCHES + 1):
            total += 1 / (1 + step)
            step += 1
            done = batch == BATCHES
            row = {
                "epoch": epoch + done,
                "batch": batch,
                "batches": BATCHES,
                "step": step,
                "loss": total / batch,
            }
            row["epoch_complete"] = done
            if done:
                row |= {"test_loss": 0.5 / (epoch + 1), "test_accuracy": 1 - 0.1 / (epoch + 1)}
            found.append(row)
    return found


def drawn(figure: Any) -> bytes:
    """The figure as PNG, without a warning (they are errors here) and not empty."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    data = file.getvalue()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) > 2000
    return data


def texts(figure: Any) -> str:
    """Every text in a figure."""
    from matplotlib.text import Text

    return " | ".join(t.get_text() for t in figure.findobj(Text) if t.get_text())


# curves


def test_the_mean_over_a_part_is_recovered_from_the_mean_so_far() -> None:
    found = smoothed(rows(2), "loss", parts=10)
    assert [r["step"] for r in found] == list(range(2, 41, 2))
    for r in found:
        expected = (1 / (r["step"] - 1) + 1 / r["step"]) / 2
        assert r["loss"] == pytest.approx(expected)


def test_rows_without_batches_stay() -> None:
    plain = [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}]
    assert smoothed(plain, "loss") == plain
    assert points(plain, "loss") == [(1.0, 2.0), (2.0, 1.0)]


def test_parts_of_an_epoch_count_as_such() -> None:
    found = points(rows(2), "loss")
    assert found[4][0] == pytest.approx(0.25) and found[19][0] == 1 and found[-1][0] == 2
    assert points(rows(2), "test_loss") == [(1.0, 0.5), (2.0, 0.25)]
    assert points([{"epoch": 1, "loss": float("nan")}, {"epoch": 1, "loss": None}], "loss") == []


def test_curves_show_loss_and_accuracy() -> None:
    figure = training_curves(rows(), "a run")
    drawn(figure)
    assert len(figure.axes) == 2
    loss, accuracy = figure.axes
    assert loss.get_yscale() == "log", "it spans more than a factor of 20"
    said = texts(figure)
    for word in (
        "a run",
        "Loss",
        "Accuracy",
        "training",
        "test",
        "best 0.1667, epoch 3",
        "best 96.67 %, epoch 3",
    ):
        assert word in said
    assert accuracy.get_ylim()[0] == pytest.approx(1 - 1.6 * 0.1)


def test_curves_without_tests_are_one_panel() -> None:
    bare = [{k: v for k, v in r.items() if not k.startswith("test")} for r in rows(1)]
    figure = training_curves(bare[:1])
    drawn(figure)
    assert len(figure.axes) == 1 and "best" not in texts(figure)
    assert drawn(training_curves([{"epoch": 1, "loss": 3.0}]))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_curves_of_a_log_file_are_those_of_its_rows(tmp_path: Path, suffix: str) -> None:
    log = LogFile(tmp_path / f"log{suffix}")
    for row in rows():
        log(row)
    log.close()
    lines = [
        [line.get_xydata().tolist() for line in a.lines] for a in training_curves(log.path).axes
    ]
    expected = [
        [line.get_xydata().tolist() for line in a.lines] for a in training_curves(rows()).axes
    ]
    assert str(lines) == str(expected)


def test_wrong_logs_are_named(tmp_path: Path) -> None:
    with pytest.raises(DescriptionError, match="expected rows with the entry 'loss', given 0"):
        training_curves([])
    with pytest.raises(DescriptionError, match="cannot read .*missing.csv: No such file"):
        training_curves(tmp_path / "missing.csv")
    (tmp_path / "log.jsonl").write_text("{")
    with pytest.raises(DescriptionError, match="log.jsonl is no log of records"):
        training_curves(tmp_path / "log.jsonl")
    (tmp_path / "log.txt").write_text("")
    with pytest.raises(DescriptionError, match="must end in .csv or .jsonl"):
        training_curves(tmp_path / "log.txt")


# confusion


def test_confusion_shows_counts_recall_and_the_total() -> None:
    figure = confusion_figure([[8, 2], [0, 0]], ["cat", "dog"])
    drawn(figure)
    said = texts(figure)
    for word in ("8 of 10 right", "80.0 %", "no examples", "cat", "dog", "predicted", "true"):
        assert word in said


@pytest.mark.parametrize("size", [1, 3, 10, 40])
def test_confusion_of_any_size_fits_its_page(size: int) -> None:
    counts = np.random.default_rng(size).integers(0, 2000, (size, size))
    figure = confusion_figure(counts)
    drawn(figure)
    inside = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert inside.x0 >= 0 and inside.y0 >= 0 and inside.x1 <= width and inside.y1 <= height


def test_the_diagonal_is_blue_and_mistakes_are_orange() -> None:
    from cortex.visualization.confusion import _colours

    right, wrong = _colours(np.array([[0.9, 0.1], [0.0, 1.0]]))[0]
    assert right[2] > right[0] and wrong[0] > wrong[2]


@pytest.mark.parametrize(
    ("matrix", "names", "message"),
    [
        ([[1, 2]], None, r"expected a square matrix of counts \[K, K\], given \[1, 2\]"),
        ([[1, -2], [0, 1]], None, "numbers of at least 0"),
        ([[1, 2], [0, 1]], ["a"], "expected 2 names, one per class, given 1"),
    ],
)
def test_confusion_says_what_is_wrong(matrix: Any, names: Any, message: str) -> None:
    with pytest.raises(DescriptionError, match=message):
        confusion_figure(matrix, names)


# filters


@pytest.mark.parametrize(
    "shape", [(20, 1, 5, 5), (7, 3, 3, 9), (4, 5, 3, 3), (1, 8, 2), (1, 1, 1, 1)]
)
@pytest.mark.parametrize("scale", ["common", "each"])
def test_each_kernel_is_a_picture(shape: tuple[int, ...], scale: str) -> None:
    kernels = np.random.default_rng(0).normal(size=shape)
    figure = filter_grid(kernels, scale=scale, title="kernels")
    drawn(figure)
    height, width = figure.axes[0].images[0].get_array().shape[:2]
    pictures = shape[0] if len(shape) == 3 or shape[1] in (1, 3) else shape[0] * shape[1]
    cell = [n * max(1, round(60 / max(shape[-2:]))) + 8 for n in shape[-2:]]
    assert height % cell[0] == 0 and width % cell[1] == 0
    rows, columns = height // cell[0], width // cell[1]
    assert rows * columns >= pictures > (rows - 1) * columns


def test_each_picture_stands_in_its_place() -> None:
    pictures = np.random.default_rng(0).random((5, 30, 60, 3))
    whole = mosaic(pictures, 2)
    assert whole.shape == (3 * 38, 2 * 68, 3)
    for number, picture in enumerate(pictures):
        y, x = number // 2 * 38 + 4, number % 2 * 68 + 4
        np.testing.assert_array_equal(whole[y : y + 30, x : x + 60], picture)
    assert (whole[2 * 38 :, 68:] == 1).all(), "no kernel, no frame"


def test_negative_is_blue_zero_is_white_positive_is_red() -> None:
    kernels = np.array([[[[-1.0, 0.0, 1.0]]], [[[-4.0, 0.0, 4.0]]]])
    for scale in ("common", "each"):
        colours = _colours(kernels, scale)[:, 0]
        assert (colours[:, 0, 2] > colours[:, 0, 0]).all() and (
            colours[:, 2, 0] > colours[:, 2, 2]
        ).all()
        assert (colours[:, 1] > 0.95).all()
    one, other = _colours(kernels, "common")[:, 0, 2]
    assert one.sum() > other.sum() + 0.5, "on a common scale the weaker kernel is paler"
    one, other = _colours(kernels, "each")[:, 0, 2]
    np.testing.assert_array_equal(one, other)


def test_the_first_convolution_of_a_network() -> None:
    figure = network_filters(lenet(), columns=10)
    drawn(figure)
    assert "Kernels of convolution1" in texts(figure)
    kernels = lenet().parameters["convolution1.weights"].astype(float)
    expected = mosaic(_colours(kernels, "common"), 10)
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), expected)
    drawn(network_filters(lenet(), "convolution2", title=""))


def test_filters_say_what_is_wrong() -> None:
    with pytest.raises(
        DescriptionError, match=r"given \[3\](.|\n)*scale: expected 'common' or 'each'"
    ):
        filter_grid(np.zeros(3), scale="all")
    with pytest.raises(
        DescriptionError, match="expected finite numbers(.|\n)*columns: expected at least 1"
    ):
        filter_grid(np.full((1, 2, 2), np.nan), columns=0)
    with pytest.raises(
        DescriptionError,
        match=r"a node with kernels .* \(convolution1, convolution2\), given 'hidden'",
    ):
        network_filters(lenet(), "hidden")
    with pytest.raises(DescriptionError, match=r"\(none\), given None"):
        network_filters(mlp())


# mistakes


def test_the_worst_mistakes_come_first() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 5, 6)).astype(np.uint8)
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.97, 0.03]])
    figure = worst_mistakes(images, np.array([0, 1, 1, 1]), probabilities, names=["no", "yes"])
    drawn(figure)
    shown = [a for a in figure.axes if a.images]
    assert [a.get_title() for a in shown] == ["is yes, said no"] * 2
    assert [a.get_xlabel() for a in shown] == ["row 3, 97 % sure", "row 1, 60 % sure"]
    assert "2 of 4 wrong" in texts(figure)
    np.testing.assert_array_equal(shown[0].images[0].get_array(), images[3])


@pytest.mark.parametrize("count", [1, 9, 100])
def test_no_more_than_asked(count: int) -> None:
    images = np.zeros((12, 3, 4, 4), np.float32)
    figure = worst_mistakes(images, np.zeros(12, int), np.tile([0.0, 1.0], (12, 1)), count=count)
    drawn(figure)
    assert sum(len(a.images) for a in figure.axes) == min(count, 12)


def test_a_perfect_network_has_nothing_to_show() -> None:
    figure = worst_mistakes(np.zeros((2, 3, 3)), np.array([0, 1]), np.eye(2))
    drawn(figure)
    assert "0 of 2 wrong" in texts(figure)


def test_mistakes_say_what_is_wrong_all_at_once() -> None:
    with pytest.raises(DescriptionError) as caught:
        worst_mistakes(np.zeros((2, 5)), np.zeros(3), np.zeros(4))
    for word in (
        "images: expected",
        "labels: expected integers",
        "probabilities: expected",
        "given 2, 3 and 4",
    ):
        assert word in str(caught.value)
    with pytest.raises(DescriptionError, match="labels: expected 0 .. 1, given 0 .. 2"):
        worst_mistakes(np.zeros((2, 3, 3)), np.array([0, 2]), np.eye(2))


# the package


def test_figures_stay_out_of_pyplot() -> None:
    code = (
        "import sys; from cortex.visualization import confusion_figure; import io;"
        "confusion_figure([[1]]).savefig(io.BytesIO()); print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_every_public_name_is_there() -> None:
    for name in visualization.__all__:
        assert callable(getattr(visualization, name)) and name in dir(visualization)
    with pytest.raises(AttributeError, match="no attribute 'training_curve'"):
        _ = visualization.training_curve


def test_without_matplotlib_the_message_says_what_to_do() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None;"
        "from cortex.visualization import network_text, confusion_figure; confusion_figure([[1]])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert "figures need matplotlib, which is missing" in done.stderr
    assert "pip install matplotlib" in done.stderr
