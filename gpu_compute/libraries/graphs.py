"""Each description of `dnn` as a graph of cuDNN's frontend: the only place that knows its node names.

A builder adds nodes to a graph and names tensors. Tensors get the position of their operand as identity, inputs first,
so that a plan read from disk is bound by the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cortex.compute.ops.window import Window

from . import dnn

NODES = {
    "relu": "relu",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "elu": "elu",
    "gelu": "gelu_approx_tanh",
    "swish": "swish",
}


def identities(description: dnn.Description) -> dict[str, int]:
    """Return the number by which each operand is bound, from 1."""
    return {name: i for i, name in enumerate([*description.inputs, *description.outputs], 1)}


def build(cudnn: Any, graph: Any, description: dnn.Description) -> None:
    """Add the nodes of a description to an empty graph."""
    made = _Builder(cudnn, graph, description)
    operands = {name: made.input(name) for name in description.inputs}
    results = BUILDERS[type(description)](made, description, **operands)
    for name, tensor in results.items():
        made.output(name, tensor)


class _Builder:
    """The graph being made, with its operands as tensors of rank 4 or 5."""

    def __init__(self, cudnn: Any, graph: Any, description: dnn.Description) -> None:
        self.cudnn, self.graph = cudnn, graph
        self._description = description
        self._identities = identities(description)
        self.types = {
            "float32": cudnn.data_type.FLOAT,
            "float16": cudnn.data_type.HALF,
            "bfloat16": cudnn.data_type.BFLOAT16,
            "bits": cudnn.data_type.BOOLEAN,
        }

    def input(self, name: str) -> Any:
        """Return the tensor of an operand that is read."""
        operand = self._description.inputs[name]
        dim, stride = self.layout(name, operand)
        return self.graph.tensor(
            dim=dim,
            stride=stride,
            data_type=self.types[operand.dtype],
            name=name,
            uid=self._identities[name],
        )

    def layout(self, name: str, operand: dnn.Operand) -> tuple[list[int], list[int]]:
        """Return extents and strides as cuDNN takes them: images, vectors of channels, rows, heads."""
        d, shape, stride = self._description, list(operand.shape), list(operand.strides)
        if isinstance(d, dnn.AttentionForward | dnn.AttentionBackward):
            if name == "logarithms":
                return [*shape, 1], [*stride, 1]
            order = [0, 2, 1, 3] if d.transposed else [0, 1, 2, 3]
            return [shape[i] for i in order], [stride[i] for i in order]
        if isinstance(d, dnn.RowNormTraining | dnn.RowNormBackward):
            if name in ("mean", "inverse"):
                return [d.rows, 1, 1, 1], [1, 1, 1, 1]
            rows = d.rows if len(shape) == 2 else 1
            return [rows, d.width, 1, 1], [d.width, 1, d.width, d.width]
        rank = max(4, len(d.x)) if isinstance(d, dnn.Convolving | dnn.Normalising) else 4
        if len(shape) == 1:
            (c,) = shape
            return [1, c, *[1] * (rank - 2)], [c, 1, *[c] * (rank - 2)]
        missing = rank - len(shape)  # one spatial axis, or none: extents of 1 before them
        outer = stride[2] * shape[2] if len(shape) > 2 else shape[1]
        return [*shape[:2], *[1] * missing, *shape[2:]], [
            *stride[:2],
            *[outer] * missing,
            *stride[2:],
        ]

    def scalar(self, value: float) -> Any:
        """Return a constant of the graph."""
        kind = self.cudnn.scalar_type.COMPILE_TIME_CONST
        return self.graph.tensor_scalar(float(value), kind)

    def activated(self, tensor: Any, activation: str) -> Any:
        """Return the tensor after an activation."""
        return getattr(self.graph, NODES[activation])(tensor) if activation != "none" else tensor

    def output(self, name: str, tensor: Any) -> None:
        """Make a tensor the output of that name."""
        operand = self._description.outputs[name]
        dim, stride = self.layout(name, operand)
        tensor.set_output(True).set_dim(dim).set_stride(stride)
        tensor.set_data_type(self.types[operand.dtype]).set_uid(self._identities[name])


def _window(d: Any) -> dict[str, Any]:
    """Return the geometry of a convolution; a missing spatial axis has a kernel of 1."""
    w: Window = d.window
    missing = max(0, 2 - w.rank)
    after = []
    for n, reach, step, (low, high), out in zip(
        d.x[2:], w.reach, w.stride, w.padding, d.y[2:], strict=True
    ):
        # With `ceil` the last window may hang over the end by more than the padding.
        after.append(max(0, (out - 1) * step + reach - n - low) if w.ceil else high)
    return {
        "pre_padding": [*[0] * missing, *(low for low, _ in w.padding)],
        "post_padding": [*[0] * missing, *after],
        "stride": [*[1] * missing, *w.stride],
        "dilation": [*[1] * missing, *w.dilation],
    }


def _convolution(
    g: _Builder,
    d: dnn.ConvolutionForward,
    x: Any,
    w: Any,
    bias: Any = None,
) -> dict[str, Any]:
    y = g.graph.conv_fprop(x, w, **_window(d))
    y = g.graph.bias(y, bias) if bias is not None else y
    return {"y": g.activated(y, d.activation)}


def _convolution_input_gradient(
    g: _Builder,
    d: dnn.ConvolutionInputGradient,
    dy: Any,
    w: Any,
) -> dict[str, Any]:
    return {"dx": g.graph.conv_dgrad(dy, w, **_window(d))}


def _convolution_kernel_gradient(
    g: _Builder,
    d: dnn.ConvolutionKernelGradient,
    x: Any,
    dy: Any,
) -> dict[str, Any]:
    return {"dw": g.graph.conv_wgrad(x, dy, **_window(d))}


def _batch_norm_training(
    g: _Builder,
    d: dnn.BatchNormTraining,
    x: Any,
    scale: Any,
    bias: Any,
    running_mean: Any,
    running_variance: Any,
    residual: Any = None,
) -> dict[str, Any]:
    y, mean, inverse, next_mean, next_variance = g.graph.batchnorm(
        input=x,
        scale=scale,
        bias=bias,
        in_running_mean=running_mean,
        in_running_var=running_variance,
        epsilon=g.scalar(d.epsilon),
        momentum=g.scalar(1 - d.momentum),  # cuDNN weights the new value
    )
    y = g.graph.add(y, residual) if residual is not None else y
    y = g.activated(y, "relu" if d.relu else "none")
    results = {"y": y, "mean": mean, "inverse": inverse}
    results |= {"next_mean": next_mean, "next_variance": next_variance}
    return results | ({"mask": g.graph.cmp_gt(y, g.scalar(0))} if d.relu else {})


def _batch_norm_inference(
    g: _Builder,
    d: dnn.BatchNormInference,
    x: Any,
    mean: Any,
    inverse: Any,
    scale: Any,
    bias: Any,
    residual: Any = None,
) -> dict[str, Any]:
    # The node `batchnorm_inference` has no engine in 9.28; its four steps have one.
    z = g.graph.mul(g.graph.sub(x, mean), inverse)
    y = g.graph.add(g.graph.mul(z, scale), bias)
    y = g.graph.add(y, residual) if residual is not None else y
    return {"y": g.activated(y, d.activation)}


def _batch_norm_backward(
    g: _Builder,
    d: dnn.BatchNormBackward,
    dy: Any,
    x: Any,
    scale: Any,
    mean: Any,
    inverse: Any,
    mask: Any = None,
) -> dict[str, Any]:
    if mask is not None:
        dy = g.graph.scale(dy, mask)
        dy.set_data_type(g.types[d.dtype])
    dx, dscale, dbias = g.graph.batchnorm_backward(
        grad=dy, input=x, scale=scale, mean=mean, inv_variance=inverse
    )
    results = {"dx": dx, "dscale": dscale, "dbias": dbias}
    return results | ({"dresidual": dy} if "dresidual" in d.outputs else {})


def _row_norm_training(
    g: _Builder,
    d: dnn.RowNormTraining,
    x: Any,
    scale: Any,
    bias: Any = None,
) -> dict[str, Any]:
    phase = g.cudnn.norm_forward_phase.TRAINING
    if d.kind == "rms":
        y, inverse = g.graph.rmsnorm(
            norm_forward_phase=phase, input=x, scale=scale, epsilon=g.scalar(d.epsilon)
        )
        return {"y": y, "inverse": inverse}
    y, mean, inverse = g.graph.layernorm(
        norm_forward_phase=phase, input=x, scale=scale, bias=bias, epsilon=g.scalar(d.epsilon)
    )
    return {"y": y, "mean": mean, "inverse": inverse}


def _row_norm_backward(
    g: _Builder,
    d: dnn.RowNormBackward,
    dy: Any,
    x: Any,
    scale: Any,
    inverse: Any,
    mean: Any = None,
) -> dict[str, Any]:
    if d.kind == "rms":
        dx, dscale, _ = g.graph.rmsnorm_backward(
            grad=dy, input=x, scale=scale, inv_variance=inverse, has_dbias=False
        )
        return {"dx": dx, "dscale": dscale}
    dx, dscale, dbias = g.graph.layernorm_backward(
        grad=dy, input=x, scale=scale, mean=mean, inv_variance=inverse
    )
    return {"dx": dx, "dscale": dscale, "dbias": dbias}


def _attention(g: _Builder, d: dnn.AttentionForward, q: Any, k: Any, v: Any) -> dict[str, Any]:
    o, logarithms = g.graph.sdpa(
        q=q,
        k=k,
        v=v,
        attn_scale=d.factor,
        use_causal_mask=d.causal,
        generate_stats=True,
    )
    return {"o": o, "logarithms": logarithms}


def _attention_backward(
    g: _Builder,
    d: dnn.AttentionBackward,
    q: Any,
    k: Any,
    v: Any,
    o: Any,
    do: Any,
    logarithms: Any,
) -> dict[str, Any]:
    dq, dk, dv = g.graph.sdpa_backward(
        q=q,
        k=k,
        v=v,
        o=o,
        dO=do,
        stats=logarithms,
        attn_scale=d.factor,
        use_causal_mask=d.causal,
    )
    return {"dq": dq, "dk": dk, "dv": dv}


BUILDERS: dict[type, Callable[..., dict[str, Any]]] = {
    dnn.ConvolutionForward: _convolution,
    dnn.ConvolutionInputGradient: _convolution_input_gradient,
    dnn.ConvolutionKernelGradient: _convolution_kernel_gradient,
    dnn.BatchNormTraining: _batch_norm_training,
    dnn.BatchNormInference: _batch_norm_inference,
    dnn.BatchNormBackward: _batch_norm_backward,
    dnn.RowNormTraining: _row_norm_training,
    dnn.RowNormBackward: _row_norm_backward,
    dnn.AttentionForward: _attention,
    dnn.AttentionBackward: _attention_backward,
}
