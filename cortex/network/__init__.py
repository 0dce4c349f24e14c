"""Networks as values: graphs of named layers.

| module | what it has |
|---|---|
| `node` | `Node`: a layer, what it reads, what its parameters are bound to, attributes |
| `network` | `Network`: nodes, their shapes, their weights |
| `references`, `graph` | names of outputs and parameters; order, cycles, faults |
| `assemble` | from lists, pairs and composites to nodes |
| `forward`, `shapes` | the forward pass recorded; the shapes that follow from it |
| `weights` | initial weights from seed and name, or given |
| `editing` | append, insert, remove, replace, rename, freeze, ... |
| `data` | to and from JSON |
| `summary` | a table of layers, shapes, parameters and bytes |
"""

from __future__ import annotations

from .network import Network
from .node import Attributes, Column, Constant, Node, column, constant, node

__all__ = ["Attributes", "Column", "Constant", "Network", "Node", "column", "constant", "node"]
