"""Reading, splitting, encoding, scaling and streaming data; NumPy and nothing else.

A data set is named columns of equal length (`Dataset`); a batch is a dict of arrays.

| to | use | in |
|---|---|---|
| hold arrays, records | `Arrays`, `from_structured` | `arrays` |
| hold a sequence of maps | `from_maps`, `Maps` | `maps` |
| read .npz, .npy | `from_npz`, `from_npy` (memory-mapped if wished) | `files` |
| read numbers from CSV | `from_csv` | `tabular` |
| read and write IDX | `read_idx`, `write_idx` | `idx` |
| get what ships | `mnist`, `iris`, `breast_cancer`, `corn`, `xor` | `digits`, `small` |
| load by name or path, take what is at hand | `load`, `CATALOGUE`, `as_dataset` | `registry` |
| change columns or rows | `select`, `rename`, `map_batches`, `concatenate`, `shuffle` | `views` |
| sample classes evenly | `balanced` | `sampling` |
| prepare batches ahead | `prefetch` | `streams` |
| read a part of each batch | `in_parts` | `table` |
| split | `holdout`, `split`, `k_fold`, `out_of_fold` | `splits` |
| encode labels, weigh classes | `one_hot`, `from_one_hot`, `class_weights`, ... | `labels` |
| scale features | `Standardise`, `MinMax`, `scaling_from_data` | `scaling` |
| find NaN and infinity | `check_finite`, `find_non_finite` | `checks` |
| write a data set of one's own | `Table` (a subclass), `Dataset`, `Column` | `table`, `protocol` |

    from cortex.datasets import holdout, mnist, prefetch

    training, validation = holdout(mnist("train"), 0.1, seed=1, stratify="label")
    for epoch in range(5):
        for batch in prefetch(training.batches(128, seed=1, epoch=epoch)):
            batch["image"], batch["label"]  # uint8 [128, 1, 28, 28], uint8 [128]

Everything that can be wrong with data raises `DataError` (a ValueError).
"""

from .arrays import Arrays, from_structured
from .checks import NonFinite, check_finite, find_non_finite
from .digits import mnist
from .errors import DataError, MissingFileError
from .files import from_npy, from_npz
from .idx import decode_idx, read_idx, write_idx
from .labels import class_labels, class_weights, from_one_hot, inverse_class_counts, one_hot
from .maps import Maps, from_maps
from .protocol import Array, Batch, Column, Dataset
from .registry import CATALOGUE, Entry, as_dataset, load
from .sampling import balanced
from .scaling import MinMax, Standardise, scaling_from_data
from .small import breast_cancer, corn, iris, xor
from .splits import fold_rows, holdout, k_fold, out_of_fold, split, split_rows
from .streams import Prefetch, prefetch
from .table import Table, in_parts
from .tabular import from_csv
from .views import concatenate, map_batches, rename, select, shuffle

__all__ = [
    "CATALOGUE",
    "Array",
    "Arrays",
    "Batch",
    "Column",
    "DataError",
    "Dataset",
    "Entry",
    "Maps",
    "MinMax",
    "MissingFileError",
    "NonFinite",
    "Prefetch",
    "Standardise",
    "Table",
    "as_dataset",
    "balanced",
    "breast_cancer",
    "check_finite",
    "class_labels",
    "class_weights",
    "concatenate",
    "corn",
    "decode_idx",
    "find_non_finite",
    "fold_rows",
    "from_csv",
    "from_maps",
    "from_npy",
    "from_npz",
    "from_one_hot",
    "from_structured",
    "holdout",
    "in_parts",
    "inverse_class_counts",
    "iris",
    "k_fold",
    "load",
    "map_batches",
    "mnist",
    "one_hot",
    "out_of_fold",
    "prefetch",
    "read_idx",
    "rename",
    "scaling_from_data",
    "select",
    "shuffle",
    "split",
    "split_rows",
    "write_idx",
    "xor",
]
