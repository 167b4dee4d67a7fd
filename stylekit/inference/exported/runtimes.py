"""Runtimes that execute exported files: onnxruntime, OpenVINO, and torch for ``.pt2``. Each is imported when it is used."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stylekit.errors import StylekitError, one_line_error, suggest
from stylekit.inference.exported import SUFFIXES
from stylekit.inference.exported.card import KEY, Array, Card, parse_card, read_onnx_card
from stylekit.inference.exported.silence import silent
from stylekit.registry.extras import import_extra

THREADS = "STYLEKIT_THREADS"
"""The environment variable with the number of threads; by default as many as there are cores."""
PROVIDERS = {"cpu": "CPU", "cuda": "CUDA", "coreml": "CoreML", "directml": "Dml"}
"""Devices of onnxruntime, and how its execution providers for them are called."""
BUILDS = {
    "cuda": "`pip install onnxruntime-gpu`, for GPUs of NVIDIA",
    "coreml": "`pip install onnxruntime`, on macOS",
    "directml": "`pip install onnxruntime-directml`, on Windows",
}
"""How the builds of onnxruntime are installed that have these devices."""
ONNX_ONLY = ("coreml", "directml")
"""Devices that no other engine has."""


class Runtime(ABC):
    """An exported file that is ready to run.

    Attributes:
        card: what the file says about itself
    """

    engine: str
    card: Card

    @abstractmethod
    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """The outputs for arrays, float32, by name. Several threads may call it at the same time.

        Raises:
            StylekitError: the runtime reports an error.
        """


class OnnxRuntime(Runtime):
    """onnxruntime, for ``.onnx`` files.

    Args:
        path: the file
        threads: number of threads
        device: auto or cpu, or cuda, coreml or directml with a build of onnxruntime that has it
    """

    engine = "onnxruntime"

    def __init__(self, path: Path, threads: int, device: str = "auto") -> None:
        self.card = read_onnx_card(path)
        if device in BUILDS and not importlib.util.find_spec("onnxruntime"):
            raise StylekitError(f"The device {device!r} needs onnxruntime, which is not installed: {BUILDS[device]}.")
        onnxruntime = import_extra("onnxruntime", "onnx", f"{path}, an ONNX file,")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 4
        # Waiting threads would take the cores from those that read and write files.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = _providers(onnxruntime.get_available_providers(), device)
        with _explained(path, self.engine):
            self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        self._path = path
        # Otherwise both files keep the memory of their largest image; giving it back takes hardly any time.
        self._each_run = onnxruntime.RunOptions()
        self._each_run.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        with _explained(self._path, self.engine):
            outputs: list[Array] = self._session.run(None, dict(inputs), self._each_run)
        return outputs


def _providers(available: Sequence[str], device: str) -> list[str]:
    if device not in ("auto", *PROVIDERS):
        raise StylekitError(f"onnxruntime has no device {device!r}. {suggest(device, ['auto', *PROVIDERS])}")
    wanted = f"{PROVIDERS['cuda' if device == 'auto' else device]}ExecutionProvider"
    if wanted not in available and device != "auto":
        raise StylekitError(
            f"This build of onnxruntime has no device {device!r}. It offers {', '.join(available)}. Leave --device out, or run "
            f"`pip uninstall onnxruntime`, and then {BUILDS[device]}."
        )
    return list(dict.fromkeys([*([wanted] if wanted in available else []), "CPUExecutionProvider"]))


class OpenVino(Runtime):
    """OpenVINO on the CPU, for its own ``.xml`` files and for ``.onnx`` files.

    Args:
        path: the file
        threads: number of threads
        device: auto or cpu, or one of OpenVINO's devices, such as GPU
    """

    engine = "openvino"

    def __init__(self, path: Path, threads: int, device: str = "auto") -> None:
        openvino = import_extra("openvino", "openvino", f"{path}, as a file for OpenVINO,")
        with _explained(path, self.engine):
            core = openvino.Core()
            model = core.read_model(path)
            named = "CPU" if device in ("auto", "cpu") else device.upper()
            # Without the hint it computes in bfloat16 where the processor can, with errors of several levels.
            options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads} if named == "CPU" else {}
            self._compiled = core.compile_model(model, named, options)
            self.card = _openvino_card(model, path)
        self._path = path

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        with _explained(self._path, self.engine):
            found = self._compiled.create_infer_request().infer(dict(inputs))
            return [np.array(found[port]) for port in self._compiled.outputs]


def _openvino_card(model: Any, path: Path) -> Card:
    if path.suffix == ".onnx":
        return read_onnx_card(path)
    if not model.has_rt_info(KEY):
        raise StylekitError(f"{path} was not written by `stylekit export`, so how to use it is not known.")
    return parse_card(str(model.get_rt_info(KEY).value), path)


_LOADING = threading.Lock()
"""Held while torch loads a file, which only one thread may do at a time."""


@contextlib.contextmanager
def _no_pickle() -> Iterator[None]:
    """Within the block, torch loads tensors only: where that fails, torch.export would unpickle what is in a file instead,
    which can run any program."""
    import torch

    with _LOADING, silent():
        unrestricted = torch.load
        torch.load = lambda *given, **options: unrestricted(*given, **{**options, "weights_only": True})
        try:
            yield
        finally:
            torch.load = unrestricted


class Torch(Runtime):
    """torch, for its own ``.pt2`` files.

    Args:
        path: the file
        threads: not used, because torch has a number for the whole process
        device: not used: the CPU
    """

    engine = "torch"

    def __init__(self, path: Path, threads: int = 0, device: str = "auto") -> None:
        import torch

        notes: dict[str, Any] = {KEY: ""}
        with _no_pickle(), _explained(path, self.engine):
            program = torch.export.load(path, extra_files=notes)
        if not notes[KEY]:
            raise StylekitError(f"{path} was not written by `stylekit export`, so how to use it is not known.")
        text = notes[KEY]
        self.card = parse_card(text if isinstance(text, str) else text.decode(), path)
        self._module, self._path = program.module(check_guards=False), path
        strength = ["strength"] if self.card.strength == "input" else []
        first = "codes" if self.card.graph == "sample" else "image"
        styled = self.card.graph == "stylize"
        self._inputs = [first, *(self.card.statistics if styled else ()), *(strength if styled else ())]

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        import torch

        tensors = [torch.from_numpy(np.asarray(inputs[name], order="C")) for name in self._inputs]
        with _explained(self._path, self.engine), torch.no_grad():
            outputs = self._module(*tensors)
        return [each.numpy() for each in (outputs if isinstance(outputs, tuple) else (outputs,))]


ENGINES: Mapping[str, Callable[[Path, int, str], Runtime]] = {
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
    "torch": Torch,
}


def open_runtime(path: Path, engine: str = "auto", threads: int | None = None, device: str = "auto") -> Runtime:
    """Loads an exported file.

    Args:
        path: the file
        engine: onnxruntime, openvino or torch; auto: the first installed one that reads the format
        threads: number of threads; by default :func:`thread_count`
        device: where it runs; see the engines

    Raises:
        StylekitError: no runtime for the format is installed, or the file is missing, damaged or not from stylekit.
    """
    readers = SUFFIXES.get(path.suffix, ())
    if not readers:
        raise StylekitError(f"{path} is not an exported model: its suffix is none of {', '.join(SUFFIXES)}.")
    if engine != "auto" and engine not in readers:
        raise StylekitError(f"The engine {engine!r} does not read {path.suffix} files. Use {' or '.join(readers)}.")
    if not path.is_file():
        raise StylekitError(f"There is no file {path}.")
    installed = [each for each in readers if importlib.util.find_spec(each)]
    if device in ONNX_ONLY and "onnxruntime" in readers:
        installed = ["onnxruntime"]
    chosen = engine if engine != "auto" else [*installed, *readers][0]
    return ENGINES[chosen](path, threads or thread_count(), device)


def thread_count() -> int:
    """The number of threads: ``STYLEKIT_THREADS``, or as many as there are cores for this process.

    Raises:
        StylekitError: the variable is no number of at least 1.
    """
    text = os.environ.get(THREADS, "")
    if text and not (text.isdecimal() and 1 <= int(text) <= 1024):
        raise StylekitError(f"{THREADS} is {text!r}, but must be a number of threads from 1 to 1024.")
    return int(text) if text else cores()


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _explained:
    """Turns the errors of a runtime, which have many types, into one sentence."""

    def __init__(self, path: Path, engine: str) -> None:
        self._path, self._engine = path, engine

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, StylekitError):
            reason = one_line_error(error)[:300]
            raise StylekitError(f"{self._path} cannot be run by {self._engine}: {reason}") from error
