"""From a program to memory, whatever runs it: places of values, instructions in order, one arena.

| module | what lives there |
|---|---|
| `storage` | which value lives where: aliases, updates in place, concatenation without copies |
| `lowering` | steps to instructions of a backend's own kind, in order |
| `arena` | lifetimes of the instructions' operands to offsets in one arena |
| `prepared` | instructions whose results last until somebody writes the state that they read |
| `geometry` | strides, collapsed iteration spaces, groups of reduced axes |
"""
