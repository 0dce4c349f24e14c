"""Pictures of training, of networks and of mistakes: plain functions that return a matplotlib figure.

| to see | use | in |
|---|---|---|
| how loss and accuracy developed | `training_curves` | `curves` |
| which class is taken for which | `confusion_figure` | `confusion` |
| what a first layer looks for | `filter_grid`, `network_filters` | `filters` |
| the examples a network is most wrong about | `worst_mistakes` | `gallery` |
| where a descent went, and how fast | `descent_figure`, `descent_paths`, `descent_curves`, ... | `descent` |
| the same step by step, as a web page | `descent_page` | `descent_web` |
| how a network is wired | `network_text`, `network_dot` | `graph` |

    from cortex.visualization import training_curves

    training_curves("runs/mnist/log.jsonl").savefig("curves.png")

No function touches pyplot or needs a display; a notebook shows a returned figure by itself. Sizes are
in inches at 100 dots per inch. matplotlib is an extra (`pip install cortex[plots]`) and is imported
on first use; without it, only the functions of `graph` work.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

# public name -> the module that defines it; matplotlib is loaded with the module
_NAMES = {
    "confusion_figure": "confusion",
    "descent_animation": "descent",
    "descent_curves": "descent",
    "descent_figure": "descent",
    "descent_page": "descent_web",
    "descent_paths": "descent",
    "filter_grid": "filters",
    "network_dot": "graph",
    "network_filters": "filters",
    "network_text": "graph",
    "training_curves": "curves",
    "worst_mistakes": "gallery",
}

__all__ = list(_NAMES)


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
