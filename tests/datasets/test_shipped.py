"""What ships: MNIST and the small sets, their checks, and the registry."""

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cortex import datasets
from cortex.datasets import (
    CATALOGUE,
    DataError,
    Dataset,
    MissingFileError,
    breast_cancer,
    corn,
    iris,
    load,
    mnist,
    xor,
)

DATA = Path(datasets.__file__).parent / "data"
MD5 = {  # of the uncompressed originals
    "train": ("6bbc9ace898e44ae57da46a324031adb", "a25bea736e30d166cdddb491f175f624"),
    "test": ("2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637"),
}


def md5(header: str, values: np.ndarray) -> str:
    data = bytes.fromhex(header) + values.tobytes()
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(("split", "count"), [("train", 60_000), ("test", 10_000)])
def test_mnist_is_bit_identical_to_the_original(split, count):
    data = mnist(split)
    assert {name: str(column) for name, column in data.columns.items()} == {
        "image": "uint8 [1, 28, 28]", "label": "uint8 []",
    }  # fmt: skip
    assert len(data) == count
    size = count.to_bytes(4, "big").hex()
    assert md5(f"00000803 {size} 0000001c 0000001c", data["image"]) == MD5[split][0]
    assert md5(f"00000801 {size}", data["label"]) == MD5[split][1]


def test_mnist_all_and_subsets():
    whole = mnist("all")
    assert len(whole) == 70_000
    np.testing.assert_array_equal(whole.read([59_999])["image"][0], mnist()[-1]["image"])
    np.testing.assert_array_equal(whole[60_000:]["label"], mnist("test")["label"])
    some = mnist("test", subset=300)
    assert len(some) == 300
    np.testing.assert_array_equal(some["label"], mnist("test")["label"][:300])
    assert len(mnist("all", subset=60_001)) == 60_001


def test_mnist_is_decoded_once():
    assert np.shares_memory(mnist()["image"], mnist(subset=10)["image"])


def test_mnist_errors(tmp_path):
    with pytest.raises(DataError, match="unknown split 'tset'.*Did you mean 'test'"):
        mnist("tset")
    with pytest.raises(DataError, match="subset 10,001 is more than the 10,000 of 'test'"):
        mnist("test", subset=10_001)
    with pytest.raises(DataError, match="subset must be at least 1, got 0"):
        mnist("test", subset=0)


def test_a_damaged_missing_or_wrong_file(tmp_path):
    labels, images = "t10k-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz"
    expected = hashlib.sha256((DATA / "mnist" / labels).read_bytes()).hexdigest()
    shutil.copy(DATA / "mnist" / images, tmp_path)
    with pytest.raises(MissingFileError) as missing:
        mnist("test", data_dir=tmp_path)
    for part in (str(tmp_path / labels), "no such file", f"SHA-256 {expected}", "data_dir"):
        assert part in str(missing.value)
    damaged = bytearray((DATA / "mnist" / labels).read_bytes())
    damaged[2000] ^= 1
    (tmp_path / labels).write_bytes(damaged)
    with pytest.raises(DataError) as wrong:
        mnist("test", data_dir=tmp_path)
    found = hashlib.sha256(damaged).hexdigest()
    for part in (str(tmp_path / labels), "damaged or not the right", expected, found):
        assert part in str(wrong.value)
    shutil.copy(DATA / "mnist" / labels, tmp_path)
    assert len(mnist("test", data_dir=str(tmp_path))) == 10_000


def test_every_shipped_file_has_its_sum_and_a_licence():
    for folder in DATA.iterdir():
        lines = (folder / "SHA256SUMS").read_text().splitlines()
        sums = {name: total for total, name in map(str.split, lines)}
        files = {path.name for path in folder.iterdir()} - {"SHA256SUMS"}
        licences = {name for name in files if name.startswith("LICENSE")}
        assert len(licences) == 1 and files - licences == set(sums)
        for name, total in sums.items():
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == total
    total = sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file())
    assert total < 13_000_000


def test_small_sets_agree_with_scikit_learn():
    originals = pytest.importorskip("sklearn.datasets")
    for ours, theirs in (
        (iris(), originals.load_iris()),
        (breast_cancer(), originals.load_breast_cancer()),
    ):
        np.testing.assert_array_equal(ours["features"], theirs.data)
        np.testing.assert_array_equal(ours["label"], theirs.target)
        assert ours["features"].dtype == np.float64 and ours["label"].dtype == np.int64


def test_corn_has_the_known_least_squares_plane():
    data = corn()
    design = np.column_stack([np.ones(10), data["features"]])
    plane, *_ = np.linalg.lstsq(design, data["target"], rcond=None)
    np.testing.assert_allclose(plane[:, 0], [31.98, 0.650, 1.110], atol=5e-3)
    np.testing.assert_allclose(np.mean((design @ plane - data["target"]) ** 2), 1.367, atol=5e-4)
    np.testing.assert_allclose(data["target"].var(), 163.4, atol=0.05)


def test_xor():
    data = xor()
    for features, target in zip(data["features"], data["target"], strict=True):
        assert target == [features[0] != features[1]]


def test_load_by_name():
    for name, entry in CATALOGUE.items():
        assert entry.name == name and entry.summary and isinstance(load(name), Dataset)
        for split in entry.splits:
            assert len(load(name, split=split)) > 0
    assert len(load("mnist", split="test", subset=7)) == 7


def test_load_by_path(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(3))
    assert load(tmp_path / "a.npz")["x"].tolist() == [0, 1, 2]
    assert load(str(tmp_path / "a.npz"), mmap=True)["x"].tolist() == [0, 1, 2]
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    assert load(tmp_path / "a.csv", columns={"z": ["x", "y"]})["z"].tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("minst", {}, "unknown data set 'minst'; known: mnist, iris, .* Did you mean 'mnist'"),
        ("data.txt", {}, "data.txt: unknown kind of file; known: .npz, .csv"),
        ("some/folder", {}, "unknown kind of file"),
        ("mnist", {"spilt": "test"}, "unknown option 'spilt'; .*Did you mean 'split'"),
        ("iris", {"split": "test"}, "unknown option 'split'; known: none"),
        ("nothing.npz", {}, "nothing.npz: no such file"),
    ],
)
def test_load_errors(source, options, message):
    with pytest.raises(DataError, match=message):
        load(source, **options)


def test_importing_loads_nothing_but_numpy():
    root = Path(datasets.__file__).parents[1]
    root = root.parent if root.name == "cortex" else root
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import numpy; before = set(sys.modules)\n"
        "import cortex.datasets\n"
        "own = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(own - {'numpy'} - set(sys.stdlib_module_names)))\n"
        "print(sorted(name for name in sys.modules if name.startswith('cortex.')\n"
        "    and not name.startswith('cortex.datasets')))\n"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", code, str(root)], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines() == ["['cortex']", "[]"]


def test_the_table_in_the_docstring_names_what_there_is():
    named = set(re.findall(r"`(\w+)`", datasets.__doc__))
    for name in named:
        assert hasattr(datasets, name), name
    functions = {name for name in datasets.__all__ if name[0].islower()}
    hidden = {"class_labels", "decode_idx", "fold_rows", "inverse_class_counts", "split_rows"}
    assert functions - named == hidden
