"""Models in files that other runtimes execute, such as ONNX: writing them, checking them, and stylising without torch.

Only ``export``, ``graphs`` and ``writing`` import torch, and ``runtimes`` for its own files.
"""

SUFFIXES = {".onnx": ("onnxruntime", "openvino"), ".xml": ("openvino",), ".pt2": ("torch",)}
"""The engines that read each format; the first installed one is used."""
