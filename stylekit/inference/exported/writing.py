"""Writes captured graphs to files: ONNX, OpenVINO's format, and torch's ``.pt2``."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from stylekit._files import write_atomic
from stylekit.errors import StylekitError, one_line_error
from stylekit.inference.exported.card import KEY
from stylekit.inference.exported.graphs import Graph
from stylekit.inference.exported.silence import silent
from stylekit.registry.extras import import_extra

Weights = Literal["32", "16", "int8"]
"""How weights are stored: as float32, as float16, or as 8-bit integers, which also compute in 8 bits."""
SMALLEST = 64
"""Number of values from which weights are stored as float16."""


def write(path: Path, graph: Graph, weights: Weights = "32") -> None:
    """Writes a graph to a file, atomically; the suffix determines the format.

    Raises:
        StylekitError: the suffix is unknown, a package is missing, an operation has no counterpart in the format, or the file
            cannot be written.
    """
    require_format(path)
    WRITERS[path.suffix](path, graph, weights)


def require_format(path: Path) -> None:
    """Checks that the suffix is that of a format.

    Raises:
        StylekitError: it is not.
    """
    if path.suffix not in WRITERS:
        raise StylekitError(f"{path} has no suffix of a format for exported models. Use {', '.join(WRITERS)}.")


def _write_onnx(path: Path, graph: Graph, weights: Weights) -> None:
    write_atomic(path, _onnx_model(graph, weights, path).SerializeToString())


def _onnx_model(graph: Graph, weights: Weights, path: Path) -> Any:
    import_extra("onnxscript", "export", "Writing ONNX files")
    try:
        with silent():
            made = torch.onnx.export(graph.program, (), dynamo=True, optimize=True, verbose=False)
    except Exception as error:  # torch raises many types
        missing = re.search(r"No ONNX function found for .*?'([\w.]+)'", str(error))
        reason = f"ONNX has no operation for torch's {missing[1]}" if missing else one_line_error(error)[:300]
        raise StylekitError(
            f"{path} cannot be written: {reason}. Files with the suffix .pt2 have no such limit."
        ) from error
    assert made is not None
    proto = made.model_proto
    _rename(proto, graph)
    if weights == "16":
        _halve(proto.graph)
    if weights == "int8":
        proto = _quantised(proto)
    del proto.metadata_props[:]
    for key, value in {KEY: graph.card.as_json(), "license": "see the model's card"}.items():
        proto.metadata_props.add(key=key, value=value)
    proto.producer_name, proto.producer_version = "stylekit", graph.card.stylekit
    return proto


def _rename(proto: Any, graph: Graph) -> None:
    """Gives inputs, outputs and sizes readable names, and removes the notes of the exporter, which are longer than the rest."""
    names = dict(zip((each.name for each in proto.graph.input), graph.inputs, strict=True))
    names |= dict(zip((each.name for each in proto.graph.output), graph.outputs, strict=True))
    for node in proto.graph.node:
        node.input[:] = [names.get(each, each) for each in node.input]
        node.output[:] = [names.get(each, each) for each in node.output]
        del node.metadata_props[:]
        node.doc_string = ""
    for each in (*proto.graph.input, *proto.graph.output):
        each.name = names[each.name]
        del each.metadata_props[:]
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    symbols = {dim.dim_param: name for dim, name in zip(dims, ("batch", "", "height", "width"), strict=False)}
    for each in (*proto.graph.input, *proto.graph.output):
        for dim in each.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = symbols.get(dim.dim_param, dim.dim_param)
    del proto.graph.value_info[:], proto.graph.metadata_props[:]


def _halve(graph: Any) -> None:
    """Stores the larger weights as float16; they are converted back before they are used."""
    onnx = import_extra("onnx", "export", "Writing ONNX files")
    casts = []
    for each in graph.initializer:
        values = onnx.numpy_helper.to_array(each)
        if values.dtype != np.float32 or values.size < SMALLEST:
            continue
        name = each.name
        each.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _quantised(proto: Any) -> Any:
    quantization = import_extra("onnxruntime.quantization", "onnx", "Storing weights as int8")
    onnx = import_extra("onnx", "export", "Writing ONNX files")
    with tempfile.TemporaryDirectory() as folder, silent():
        plain, quantised = Path(folder) / "plain.onnx", Path(folder) / "int8.onnx"
        onnx.save(proto, plain)
        quantization.quantize_dynamic(plain, quantised, weight_type=quantization.QuantType.QUInt8)
        return onnx.load(quantised)


def _write_openvino(path: Path, graph: Graph, weights: Weights) -> None:
    openvino = import_extra("openvino", "openvino", "Writing OpenVINO files")
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "model.onnx"
        _write_onnx(plain, graph, "int8" if weights == "int8" else "32")
        model = openvino.convert_model(plain)
        model.set_rt_info(graph.card.as_json(), KEY)
        openvino.save_model(model, Path(folder) / path.name, compress_to_fp16=weights == "16")
        for suffix in (".bin", ".xml"):  # the file that names the other comes last
            write_atomic(path.with_suffix(suffix), (Path(folder) / path.name).with_suffix(suffix).read_bytes())


def _write_program(path: Path, graph: Graph, weights: Weights) -> None:
    if weights != "32":
        raise StylekitError(
            f"A .pt2 file stores weights as they are. Leave --weights {weights} out, or export to .onnx."
        )
    with tempfile.TemporaryDirectory() as folder, silent():
        file = Path(folder) / "model.pt2"
        torch.export.save(graph.program, file, extra_files={KEY: graph.card.as_json()})
        write_atomic(path, file.read_bytes())


WRITERS: Mapping[str, Callable[[Path, Graph, Weights], None]] = {
    ".onnx": _write_onnx,
    ".xml": _write_openvino,
    ".pt2": _write_program,
}
"""The formats, by suffix."""
