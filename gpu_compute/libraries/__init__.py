"""NVIDIA's libraries as the CUDA backend uses them: cuBLASLt and cuDNN (not verified on a GPU).

| module | what |
|---|---|
| `protocols` | `MatmulOps` and `DnnOps`: plan once, then run on raw addresses |
| `products` | a `MatMul` as arguments of cuBLASLt |
| `cublas` | `MatmulOps` by cuBLASLt |
| `dnn` | what is asked of cuDNN, as data: convolution, normalisation, attention |
| `frontend` | `DnnOps` by cuDNN's graph API |
| `plan_cache` | compiled cuDNN plans on disk |
| `emulated` | both protocols by NumPy on addresses of the host, for tests without a GPU |
| `locate`, `report` | where the libraries are, which versions, and why one is missing |

Nothing is opened at import: every library is loaded at its first use.
"""
