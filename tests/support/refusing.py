"""An emulated device whose cuDNN has no plan for one kind of graph."""

from __future__ import annotations

from typing import Any

from cortex.gpu_compute.device import Libraries
from cortex.gpu_compute.emulated import EmulatedDevice
from cortex.gpu_compute.libraries.emulated import EmulatedDnn, EmulatedProducts
from cortex.gpu_compute.libraries.errors import Unsupported


class Refusing(EmulatedDevice):
    """It refuses descriptions of one kind, as cuDNN does for channels or widths that are no multiple of 4 or 8."""

    def __init__(self, kind: type) -> None:
        super().__init__()
        self.kind = kind

    def libraries(self, options: Any) -> Libraries:
        kind = self.kind

        class Dnn(EmulatedDnn):
            def plan(self, description: Any, choice: int = 0) -> Any:
                if isinstance(description, kind):
                    raise Unsupported("no engine")
                return super().plan(description, choice)

        return Libraries(EmulatedProducts(), Dnn())
