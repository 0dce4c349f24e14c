"""Passes of the CUDA backend: `layout` keeps images channels-last, `sums` joins the gradients of linear layers."""
