"""Passes of the CUDA backend: `layout` keeps images and kernels channels-last where a library wants them so."""
