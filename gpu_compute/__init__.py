"""The CUDA backend: programs of `cortex.compute` on an NVIDIA GPU (CuPy, cuDNN, own kernels).

Empty so far; ROADMAP.md says what comes.
"""
