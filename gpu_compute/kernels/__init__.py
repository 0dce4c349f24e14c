"""Single-source device kernels: one text for g++ (tests, the emulated device) and for CUDA (NVRTC at run time).

`source` reads the kernels and their parameters from the text, `arguments` packs what a launch passes, `launch` chooses
the structures of windows, products and strided copies. Not verified on a GPU.
"""

from .arguments import Arguments
from .emitted import Form, activation_text, emitted_source, form_of, unit_variant, values_of
from .host import host_library
from .launch import Launch, launch, launch_for, parts_of
from .nvrtc import compile_cuda
from .source import Kernel, Parameter, Source, Variant, kernel, kernels, sources, translation_unit

__all__ = [
    "Arguments",
    "Form",
    "Kernel",
    "Launch",
    "Parameter",
    "Source",
    "Variant",
    "activation_text",
    "compile_cuda",
    "emitted_source",
    "form_of",
    "host_library",
    "kernel",
    "kernels",
    "launch",
    "launch_for",
    "parts_of",
    "sources",
    "translation_unit",
    "unit_variant",
    "values_of",
]
