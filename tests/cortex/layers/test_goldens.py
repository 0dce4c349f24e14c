"""The original's golden values, layer by layer, and the true derivatives where the original's were wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cortex import layers as L

RAMP = np.arange(-5.0, 5.0).reshape(1, 10)


def test_linear(run: Any) -> None:
    given = {"weights": [[1, 2], [3, 4]], "bias": [0, 10]}
    r = run(
        L.Linear(2), np.tile([[1.0, 2.0]], (10, 1)), dy=np.tile([[1, 2]], (10, 1)), parameters=given
    )
    np.testing.assert_array_equal(r.y, np.tile([[5, 21]], (10, 1)))
    np.testing.assert_array_equal(r.gradient("weights"), 10 * np.array([[1, 2], [2, 4]]))
    np.testing.assert_array_equal(r.gradient("bias"), [10, 20])
    np.testing.assert_array_equal(r.gradient("x0"), np.tile([[7, 10]], (10, 1)))
    given = {"weights": [[1, 2], [-3, -4]], "bias": [10, 100]}
    r = run(L.Linear(2), [[1.0, 2.0]], dy=[[1, -1]], parameters=given)
    np.testing.assert_array_equal(r.y, [[15, 89]])
    np.testing.assert_array_equal(r.gradient("x0"), [[4, 6]])
    np.testing.assert_array_equal(r.gradient("weights"), [[1, 2], [-1, -2]])


TANH = [
    -0.9999092042625951,
    -0.999329299739067,
    -0.9950547536867305,
    -0.9640275800758169,
    -0.7615941559557649,
]
TANH_DX = [
    -9.079161547192634e-4, -0.005363802732103666, -0.0295981114963205, -0.14130164970632886, -0.41997434161402614,
]  # fmt: skip
LOGISTIC = [
    0.0066928509242848554, 0.01798620996209156, 0.04742587317756678, 0.11920292202211755, 0.2689414213699951, 0.5,
    0.7310585786300049, 0.8807970779778823, 0.9525741268224334, 0.9820137900379085,
]  # fmt: skip
LOGISTIC_DX = [
    -0.033240283353950774, -0.07065082485316447, -0.1355299791927364, -0.209987170807013, -0.19661193324148185,
]  # fmt: skip
SWISH = [
    -0.03346425462142428, -0.07194483984836623, -0.14227761953270035, -0.2384058440442351, -0.2689414213699951, 0,
    0.7310585786300049, 1.7615941559557646, 2.8577223804673, 3.928055160151634,
]  # fmt: skip
SWISH_DX = [
    -0.026547432429665917, -0.05266461489107291, -0.08810410601516963, -0.09078424878489547, 0.07232948812851325, 0.5,
    0.9276705118714867, 1.0907842487848955, 1.0881041060151695, 1.0526646148910728,
]  # fmt: skip
SELU = [
    -1.74625336066962, -1.7258986281898945, -1.6705687287671118, -1.520166468595695, -1.1113307378125625, 0,
    1.0507009873554805, 2.101401974710961, 3.1521029620664414, 4.202803949421922,
]  # fmt: skip
SELU_DX = [
    0.011845980177756718, 0.03220071265748214, 0.08753061208026487, 0.2379328722516818, 0.646768603034814,
    1.7580993408473766, *[1.0507009873554805] * 4,
]  # fmt: skip
MIRRORED = {
    "tanh": (TANH + [0] + [-v for v in TANH[:0:-1]], TANH_DX + [0] + [-v for v in TANH_DX[:0:-1]]),
    "logistic": (LOGISTIC, LOGISTIC_DX + [0] + [-v for v in LOGISTIC_DX[:0:-1]]),
}


@pytest.mark.parametrize("layer", [L.Tanh(), L.Logistic()], ids=str)
def test_tanh_and_logistic(layer: Any, run: Any) -> None:
    y, dx = MIRRORED[type(layer).__name__.lower()]
    r = run(layer, RAMP, dy=RAMP)
    np.testing.assert_allclose(r.y[0], y, rtol=1e-12)
    np.testing.assert_allclose(r.gradient("x0")[0], dx, rtol=1e-9)


@pytest.mark.parametrize(
    ("layer", "y", "dx"),
    [(L.Swish(), SWISH, SWISH_DX), (L.Selu(), SELU, SELU_DX)],
    ids=["swish", "selu"],
)
def test_swish_and_selu_have_their_true_derivative(layer: Any, y: Any, dx: Any, run: Any) -> None:
    r = run(layer, RAMP)
    np.testing.assert_allclose(r.y[0], y, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(r.gradient("x0")[0], dx, rtol=1e-12)


def test_relu_on_alternating_signs(run: Any) -> None:
    r = run(L.Relu(), np.tile([-1.0, 1.0], (5, 50)))
    assert r.y.sum() == r.gradient("x0").sum() == 250


def test_softmax(run: Any) -> None:
    ten = run(L.Softmax(), [[1.0, 2, 3, 4, 1, 2, 3, 4, 1, 2]]).y[0]
    four = [0.015127670383492609, 0.041121271510366035, 0.11177920510975863, 0.30384738204945333]
    np.testing.assert_allclose(ten, np.resize(four, 10), rtol=1e-12)
    channels = run(L.Softmax(), np.tile(np.arange(1.0, 5)[None, :, None], (1, 1, 3))).y
    expected = [0.03205860328008499, 0.08714431874203257, 0.23688281808991013, 0.6439142598879724]
    np.testing.assert_allclose(channels[0, :, 1], expected, rtol=1e-12)


CONVOLUTION_3 = {
    "y": [[13, 17, 25, 29], [25, 33, 49, 57], [37, 49, 73, 85], [49, 65, 97, 113]],
    "dw": [120, 160, 240, 280],
    "db": 40,
    "dx": [10, 20, 10, 20, 40, 20, 10, 20, 10],
}
CONVOLUTION_34 = {
    "y": [
        [13, 17, 25, 29, 37, 41], [25, 33, 49, 57, 73, 81],
        [37, 49, 73, 85, 109, 121], [49, 65, 97, 113, 145, 161],
    ],
    "dw": [270, 330, 450, 510],
    "db": 60,
    "dx": [10, 20, 10, 20, 40, 20, 20, 40, 20, 10, 20, 10],
}  # fmt: skip


@pytest.mark.parametrize(("height", "golden"), [(3, CONVOLUTION_3), (4, CONVOLUTION_34)])
def test_convolution(height: int, golden: dict[str, Any], run: Any) -> None:
    x = np.tile(np.arange(1.0, height * 3 + 1).reshape(1, 1, height, 3), (10, 1, 1, 1))
    kernels = np.arange(1.0, 5).reshape(4, 1, 1, 1) * np.ones((1, 1, 2, 2))
    r = run(L.Convolution(4, 2), x, parameters={"weights": kernels, "bias": np.ones(4)})
    np.testing.assert_array_equal(r.y[7].reshape(4, -1), golden["y"])
    np.testing.assert_array_equal(r.gradient("weights").reshape(4, 4), [golden["dw"]] * 4)
    np.testing.assert_array_equal(r.gradient("bias"), [golden["db"]] * 4)
    np.testing.assert_array_equal(r.gradient("x0")[3].reshape(-1), golden["dx"])


def test_convolution_with_padding_and_stride(run: Any) -> None:
    x = np.repeat(np.arange(1.0, 10), 3).reshape(1, 3, 3, 3)
    kernels = np.arange(1.0, 5).reshape(4, 1, 1, 1) * np.ones((1, 3, 2, 2))
    r = run(L.Convolution(4, 2, stride=2, padding=1), x, parameters={"weights": kernels})
    np.testing.assert_array_equal(r.gradient("bias"), [4] * 4)
    np.testing.assert_array_equal(r.gradient("x0"), np.full((1, 3, 3, 3), 10))
    planes = [[2, 4, 4, 8], [5, 10, 10, 20], [8, 16, 16, 32]]
    np.testing.assert_array_equal(r.gradient("weights").reshape(4, 3, 4), [planes] * 4)


def test_convolution_of_several_channels(run: Any) -> None:
    x, w = np.arange(192.0).reshape(3, 4, 4, 4), np.arange(108.0).reshape(3, 4, 3, 3)
    r = run(L.Convolution(3, 3, bias=False), x, parameters={"weights": w})
    y = [
        25062, 25692, 27582, 28212, 62646, 64572, 70350, 72276, 100230, 103452, 113118, 116340,
        65382, 66012, 67902, 68532, 185910, 187836, 193614, 195540, 306438, 309660, 319326, 322548,
        105702, 106332, 108222, 108852, 309174, 311100, 316878, 318804, 512646, 515868, 525534, 528756,
    ]  # fmt: skip
    np.testing.assert_array_equal(r.y.reshape(-1), y)
    first = np.array([798, 810, 822, 846, 858, 870, 894, 906, 918])
    np.testing.assert_array_equal(
        r.gradient("weights")[1].reshape(4, 9), [first + 192 * c for c in range(4)]
    )
    plane = [108, 219, 225, 114, 225, 456, 468, 237, 243, 492, 504, 255, 126, 255, 261, 132]
    for item in r.gradient("x0"):
        np.testing.assert_array_equal(item[0].reshape(-1), plane)


@pytest.mark.parametrize(
    ("start", "y", "cells"),
    [(1, [4, 8, 12, 16], 3), (16, [16, 12, 8, 4], 0), (-8, [-5, -1, 3, 7], 3)],
    ids=["rising", "falling", "negative"],
)
def test_max_pooling(start: int, y: list[int], cells: int, run: Any) -> None:
    step = -1 if start == 16 else 1
    x = (start + step * np.arange(16.0)).reshape(1, 4, 2, 2)
    r = run(L.MaxPooling(2), x, dy=[1, 2, 3, 4])
    np.testing.assert_array_equal(r.y.reshape(-1), y)
    expected = np.zeros((4, 4))
    expected[:, cells] = [1, 2, 3, 4]
    np.testing.assert_array_equal(r.gradient("x0").reshape(4, 4), expected)


@pytest.mark.parametrize("size", [2, 3])
def test_partial_windows_do_not_see_zeros(size: int, run: Any) -> None:
    x = np.full((1, 1, 6, 6), -11.0)
    y = run(L.MaxPooling(size, 2, rounding="ceil"), x).y
    np.testing.assert_array_equal(y, np.full((1, 1, 3, 3), -11))


def test_average_pooling_of_ones(run: Any) -> None:
    x, dy = np.ones((1, 1, 2, 2)), np.arange(1, 10)
    counted = run(L.AveragePooling(2, 1, 1, count_padding=True), x, dy=dy)
    np.testing.assert_array_equal(
        counted.y.reshape(-1), [0.25, 0.5, 0.25, 0.5, 1, 0.5, 0.25, 0.5, 0.25]
    )
    np.testing.assert_array_equal(counted.gradient("x0").reshape(-1), [3, 4, 6, 7])
    real = run(L.AveragePooling(2, 1, 1), x, dy=dy)
    np.testing.assert_array_equal(real.y.reshape(-1), np.ones(9))
    np.testing.assert_array_equal(real.gradient("x0").reshape(-1), [5.25, 8.25, 14.25, 17.25])


def test_pooling_with_padding_and_stride(run: Any) -> None:
    x = np.resize(np.arange(-5.0, 15), 128).reshape(2, 4, 4, 4)
    most = run(L.MaxPooling(3, 2, 1), x).y.reshape(-1)
    np.testing.assert_array_equal(
        most[:16], [0, 2, 8, 10, 12, 14, 4, 6, 12, 14, 12, 14, 8, 10, 12, 14]
    )
    counted = run(L.AveragePooling(3, 2, 1, count_padding=True), x)
    ninths = [-10, -6, 21, 45, 14, 30, -3, 9, 38, 66]
    np.testing.assert_allclose(counted.y.reshape(-1)[:10], np.array(ninths) / 9, rtol=1e-12)
    plane = np.array([1, 2, 1, 1, 2, 4, 2, 2, 1, 2, 1, 1, 1, 2, 1, 1]) / 9
    np.testing.assert_allclose(counted.gradient("x0")[1, 2].reshape(-1), plane, rtol=1e-12)
    real = run(L.AveragePooling(3, 2, 1), x)
    np.testing.assert_allclose(
        real.y.reshape(-1)[:10], [-2.5, -1, 3.5, 5, 3.5, 5, -0.5, 1, 9.5, 11]
    )
    expected = [0.25, 5 / 12, 1 / 6, 1 / 6, 5 / 12, 25 / 36, 5 / 18, 5 / 18]
    np.testing.assert_allclose(real.gradient("x0")[0, 0].reshape(-1)[:8], expected, rtol=1e-12)


def test_batch_normalisation_in_inference(run: Any) -> None:
    x = np.arange(12.0).reshape(4, 3)
    given = {
        "running_mean": [1] * 3,
        "running_variance": [0, 1, 2],
        "scale": [3] * 3,
        "bias": [4] * 3,
    }
    y = run(L.BatchNormalisation(epsilon=1e-2, per="element"), x, parameters=given).y
    expected = [
        [-26, 4, 6.116036847575795], [64, 12.955334711889902, 12.46414739030318],
        [154, 21.910669423779805, 18.812257933030565], [244, 30.86600413566971, 25.16036847575795],
    ]  # fmt: skip
    np.testing.assert_allclose(y, expected, rtol=1e-12)


def test_batch_normalisation_in_training(run: Any) -> None:
    """The original's factor .8 weights the new batch: momentum .2 weights the old value."""
    x = np.arange(12.0).reshape(4, 3)
    given = {
        "running_mean": [2] * 3,
        "running_variance": [4] * 3,
        "scale": [3] * 3,
        "bias": [4] * 3,
    }
    r = run(L.BatchNormalisation(0.2, 1e-2, "element"), x, training=True, parameters=given, dy=x)
    rows = [-0.023134696804511745, 2.6589551010651626, 5.341044898934837, 8.023134696804512]
    np.testing.assert_allclose(r.y, np.repeat(rows, 3).reshape(4, 3), rtol=1e-12)
    np.testing.assert_allclose(r.after("running_mean"), [4, 4.8, 5.6], rtol=1e-12)
    np.testing.assert_allclose(r.after("running_variance"), [12.8] * 3, rtol=1e-12)
    dx = [-0.003572943780465465, -0.001190981260155, 0.001190981260155, 0.003572943780465465]
    np.testing.assert_allclose(r.gradient("x0"), np.repeat(dx, 3).reshape(4, 3), rtol=1e-8)
    np.testing.assert_allclose(r.gradient("scale"), [13.410448989348373] * 3, rtol=1e-12)
    np.testing.assert_allclose(r.gradient("bias"), [18, 22, 26], rtol=1e-12)


def test_batch_normalisation_per_channel(run: Any) -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    given = {
        "running_mean": [2] * 3,
        "running_variance": [4] * 3,
        "scale": [3] * 3,
        "bias": [4] * 3,
    }
    r = run(L.BatchNormalisation(0.2, 1e-2), x, training=True, parameters=given, dy=x)
    first = [0.3139510961275713, 0.8054242833105618, 1.2968974704935523, 1.788370657676543]
    second = [6.211629342323457, 6.703102529506448, 7.194575716689438, 7.686048903872429]
    np.testing.assert_allclose(r.y[0], [first] * 3, rtol=1e-12)
    np.testing.assert_allclose(r.y[1], [second] * 3, rtol=1e-12)
    np.testing.assert_allclose(r.after("running_mean"), [6.4, 9.6, 12.8], rtol=1e-12)
    np.testing.assert_allclose(r.after("running_variance"), [34.857142857142854] * 3, rtol=1e-12)
    dx = [-9.892777519776665e-4, -8.57374051714065e-4, -7.254703514504634e-4, -5.935666511868618e-4]
    np.testing.assert_allclose(r.gradient("x0")[0], [dx] * 3, rtol=1e-8)
    np.testing.assert_allclose(r.gradient("x0")[1], [[-v for v in dx[::-1]]] * 3, rtol=1e-8)
    np.testing.assert_allclose(r.gradient("scale"), [48.81966992684372] * 3, rtol=1e-12)
    np.testing.assert_allclose(r.gradient("bias"), [60, 92, 124], rtol=1e-12)


LRN = {
    1: (
        np.arange(12.0) / (1 + np.arange(12.0) ** 2),
        [
            1, 0, -0.12, -0.08, -0.0519031141868512, -0.03550295857988165, -0.02556610664718773, -0.0192,
            -0.0149112426035503, -0.01189767995240928, -0.009704930889128518, -0.008062348830959416,
        ],
    ),
    2: (
        [
            0, 0.07142857142857142, 0.09523809523809523, 0.1, 0.0975609756097561, 0.09259259259259259,
            0.08695652173913043, 0.08139534883720931, 0.24242424242424243, 0.21686746987951808, 0.19607843137254902,
            0.17886178861788618,
        ],
        [
            0.1111111111111111, 0.0663265306122449, 0.0385487528344671, 0.0233333333333333, 0.0148720999405116,
            -0.015565073766132, -0.020279567403521, -0.0183306291689201, -0.0475027709357924, -0.0383672127152071,
            -0.031441302567211, -0.0261424098167692,
        ],
    ),
    3: (
        [
            0, 0.10344827586206898, 0.13953488372093023, 0.14754098360655737, 0.14457831325301207,
            0.13636363636363638, 0.1258741258741259, 0.11538461538461539, 0.28915662650602414, 0.24770642201834867,
            0.21582733812949642, 0.19075144508670522,
        ],
        [
            0.15789473684210528, 0.09383457316653729, 0.05326649810721716, 0.030864211553852466,
            -0.005661199012919144, -0.04352114602312829, -0.04715638623434852, -0.04169062137988738,
            -0.047466976339091305, -0.03569676147971518, -0.027076332292621106, -0.020863959610017586,
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("size", LRN)
def test_local_response_normalisation(size: int, run: Any) -> None:
    """For an even window the original's gradient was wrong; these are the true derivatives."""
    x = np.arange(12.0).reshape(1, 3, 2, 2)
    y, dx = LRN[size]
    r = run(L.LocalResponseNormalisation(size, 1.0, 1.0, 1.0), x)
    np.testing.assert_allclose(r.y.reshape(-1), y, rtol=1e-7)
    np.testing.assert_allclose(r.gradient("x0").reshape(-1), dx, rtol=2e-7, atol=1e-15)


def test_prelu(run: Any) -> None:
    """The slope's gradient sums over negative inputs alone (the original summed over all)."""
    x = np.resize([-1.0, 1.0], 360).reshape(10, 4, 3, 3)
    r = run(L.Prelu(), x)
    np.testing.assert_array_equal(r.y, np.where(x > 0, 1, -0.25))
    np.testing.assert_array_equal(r.gradient("slope"), [-50, -40, -50, -40])


def test_join_of_ragged_widths(run: Any) -> None:
    xs = [np.resize([-1.0, -2, 1, 4], 4 * n).reshape(4, n) for n in (3, 4, 5)]
    expected = [[-3, -6, 3, 8, -1], [1, -2, 3, 3, -2], [1, 6, -1, 2, 1], [1, -2, 3, 5, 4]]
    np.testing.assert_array_equal(run(L.Join("+"), *xs).y, expected)


def test_scale_and_functions(run: Any) -> None:
    r = run(L.Scale((2.0, 3.0), 1.0), [[1.0, 2.0]], dy=[[1, -1]])
    np.testing.assert_array_equal(r.y, [[3, 7]])
    np.testing.assert_array_equal(r.gradient("x0"), [[2, -3]])
    both = [L.Function(lambda x: x + 1), L.Function(lambda x: x - 1)]
    up, down = run(L.Branches(both), [[10.0]]).y
    assert (up, down) == (11, 9)
    joined = L.Sequence([L.Branches(both), L.Combine(lambda a, b: a + b)])
    assert run(joined, [[10.0]]).y == 20


def test_split_sums_gradients(run: Any) -> None:
    branches = L.Branches([L.Scale((2.0, 2.0, -1.0)), L.Scale((2.0, -2.0, 2.0))])
    r = run(L.Sequence([L.Split(), branches, L.Join()]), [[10.0, 100, 1000]])
    np.testing.assert_array_equal(r.y, [[40, 0, 1000]])
    np.testing.assert_array_equal(r.gradient("x0"), [[4, 0, 1]])


def test_batch_normalisation_of_a_known_distribution(run: Any) -> None:
    """Ten batches N(5, 20): output mean 0 and variance 1, running statistics towards the batch's."""
    x = np.random.default_rng(3).normal(size=(20, 20))
    x = 5 + np.sqrt(20) * (x - x.mean(0)) / x.std(0)
    statistics: dict[str, Any] = {}
    for _ in range(6):
        r = run(L.BatchNormalisation(0.2, per="element"), x, training=True, parameters=statistics)
        statistics = {n: r.after(n) for n in ("running_mean", "running_variance")}
    assert abs(r.y.mean()) < 1e-6
    assert abs(r.y.var() - 1) < 1e-3
    np.testing.assert_allclose(statistics["running_mean"], 5, atol=1e-3)
    np.testing.assert_allclose(statistics["running_variance"], 21.05, atol=1e-2)
