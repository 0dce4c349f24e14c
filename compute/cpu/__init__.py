"""The CPU backend: a program becomes a list of instructions over one arena, run by one native call.

| module | what lives there |
|---|---|
| `backend` | the backend and its executables |
| `native` | the compiled engine, or the reason why there is none |
| `lowering` | steps to instructions; how they get addresses is in `compute.plan` |
| `providers` | who runs an op: native kernels, Numba, NumPy; chosen when compiling |
| `maps` | loops over expressions, compiled by Numba |
| `interpreter` | the executor in Python, for when there is no native engine |
"""
