"""Passes of the CUDA backend.

| pass | what it does |
|---|---|
| `attend` | makes attention in 16 bits graphs of cuDNN |
| `channels_last` | keeps images channels-last between convolutions |
| `normalise` | makes batch normalisations of such images graphs of cuDNN, with the relu and shortcut behind them |
| `join_sums` | joins the bias gradient of a linear layer to the product that makes its weights' |
| `gate_products` | moves the gradient of a relu into the product that makes its cotangent |
"""
