"""Models in files that other runtimes execute, such as ONNX: writing them, checking them, and stylising without torch.

``card``, ``runtimes``, ``verify``, ``controls``, ``styles`` and ``model`` do not import torch; ``graphs`` and ``writing`` do.
"""

SUFFIXES = {".onnx": ("onnxruntime", "openvino"), ".xml": ("openvino",), ".pt2": ("torch",)}
"""The engines that read each format; the first installed one is used."""
