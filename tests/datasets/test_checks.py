"""The report on NaN and infinity."""

import numpy as np
import pytest

from cortex.datasets import Arrays, DataError, NonFinite, check_finite, find_non_finite


@pytest.fixture
def damaged():
    x = np.zeros((9000, 2))
    x[5000, 1] = np.nan
    x[8999] = np.nan, -np.inf
    y = np.zeros(9000, np.float32)
    y[3] = np.inf
    return Arrays(x=x, y=y, good=np.ones(9000), label=np.zeros(9000, np.uint8))


def test_report(damaged):
    assert find_non_finite(damaged) == (NonFinite("x", 2, 1, 5000), NonFinite("y", 0, 1, 3))
    with pytest.raises(DataError) as caught:
        check_finite(damaged)
    assert "column 'x': 2 NaN, 1 infinite, first in row 5000" in str(caught.value)
    assert "column 'y': 0 NaN, 1 infinite, first in row 3" in str(caught.value)


def test_chosen_columns_mappings_and_clean_data(damaged):
    check_finite(damaged, ["good", "label"])
    check_finite({"x": [1.0, 2.0], "z": [1j, 2j], "s": ["a", "b"]})
    check_finite(damaged[:3])
    assert find_non_finite({"z": [1, complex(np.nan, np.inf)]}) == (NonFinite("z", 1, 0, 1),)
    with pytest.raises(DataError, match="unknown column 'god'.*Did you mean 'good'"):
        check_finite(damaged, ["god"])
