from __future__ import annotations

import importlib
import json
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.facts import assert_mentions

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import figures, targets
from benchmarks.bench_kernels import cases
from benchmarks.tables import kernels, speed
from benchmarks.turns import take_turns

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
CPU = {"cpu": "A chip", "cores": 2, "vector": "AVX512", "torch": "2.13.0"}
GPU = {**CPU, "gpu": "A card", "cuda": "13.0"}


def measured(ours: float, **others: float) -> dict[str, object]:
    row: dict[str, object] = {"ours_us": ours, "megabytes": 64.0, "shape": [1, 64, 512, 512]}
    for name, took in others.items():
        row |= {f"{name}_us": took, f"{name}_ratio": took / ours}
    return row


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("bench_*.py")), ids=lambda path: path.stem)
def test_every_benchmark_can_be_imported(path: Path) -> None:
    module = importlib.import_module(f"benchmarks.{path.stem}")
    assert any(name.startswith("test_") for name in vars(module))


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    return tmp_path


def write(path: Path, machine: dict[str, object], rows: dict[str, object]) -> None:
    path.write_text(json.dumps({"machine": machine, "figures": {"step_64_16_eager": {}, **rows}}))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_case_is_read_back(device: str) -> None:
    made = cases(device)
    read = figures.kernels_of({f"kernel_{case}": {} for case in made})
    kernels = [(kernel.operation, kernel.layer, kernel.size, kernel.batch, kernel.precision) for kernel in read]
    assert kernels == [(case.operation, case.layer, case.size, case.batch, case.precision) for case in made]


def test_tables_without_figures_name_both_devices(results: Path) -> None:
    (results / "demo.json").write_text('{"pictures": 50}')
    for table in (kernels.summary, kernels.every_shape):
        cpu, gpu = kernels.on_all(table).split("\n\n")
        assert_mentions(cpu, "measured", "CPU")
        assert_mentions(gpu, "measured", "GPU")


def test_a_row_has_the_geometric_mean_the_minimum_and_the_maximum(results: Path) -> None:
    rows = {
        "kernel_adain_forward_relu1_1_512_b1": measured(100, eager=200, compiled=300, limit=50),
        "kernel_adain_forward_relu2_1_512_b1": measured(100, eager=800, compiled=300, limit=50),
    }
    write(results / "cpu.json", CPU, rows)
    table = kernels.on_all(kernels.summary)
    assert "| AdaIN, forward | **4.00** (2.00 to 8.00) |  | **3.00** (3.00 to 3.00) | 50 % |" in table
    assert table.startswith("A chip, 2 cores, AVX512, torch 2.13.0:")
    assert_mentions(table.splitlines()[-1], "measured", "GPU")


def test_the_faster_of_two_compiled_alternatives_counts(results: Path) -> None:
    row = measured(100, compiled=300, instance_norm_compiled=200, limit=50)
    write(results / "cpu.json", CPU, {"kernel_adain_forward_relu1_1_512_b1": row})
    assert "| **2.00** | 50 % |" in kernels.on_all(kernels.summary)
    assert "| 64 | 0.1 |  |  | 0.2 (2.00) | 0.05 (50 %) |" in kernels.on_all(kernels.every_shape)


def test_a_gpu_has_its_own_table_with_a_row_per_precision(results: Path) -> None:
    write(results / "cpu.json", CPU, {"kernel_gram_forward_relu1_1_512_b1": measured(100, eager=200, limit=50)})
    rows = {
        "kernel_gram_forward_relu1_1_512_b1": measured(10, eager=20, limit=5),
        "kernel_gram_forward_relu1_1_512_b1_bf16": measured(10, eager=30, limit=5),
    }
    write(results / "a-card.json", GPU, rows)
    write(results / "a-card-cpu.json", CPU, rows)  # the CPU of another machine, which has no table
    chip, card = kernels.on_all(kernels.summary).split("\n\nA card")
    assert "Gram matrix, forward | **2.00**" in chip
    assert "Gram matrix, forward, fp32 | **2.00**" in card
    assert "Gram matrix, forward, bf16 | **3.00**" in card
    assert "not yet" not in (chip + card).lower()


def test_targets_are_met_missed_or_unknown(results: Path) -> None:
    rows = {"kernel_adain_forward_relu1_1_512_b1": measured(100, eager=900, compiled=300)}
    write(results / "cpu.json", CPU, rows)
    lines = targets.targets().splitlines()

    def line(target: str) -> str:
        return next(line for line in lines if target in line)

    assert_mentions(line("adain_forward / eager"), "missed", "9.00", 10)
    assert_mentions(line("adain_forward / compiled"), "met", "3.00", 2.5)
    assert_mentions(line("gram_forward / eager, C >= 256"), "unknown")
    assert_mentions(lines[-1], "measured", "GPU")


def test_functions_are_timed_equally_often() -> None:
    called: list[str] = []
    times = take_turns({name: partial(called.append, name) for name in "ab"}, "cpu")
    assert len(times["a"]) == len(times["b"]) >= 3
    assert called.count("a") > 3 < called.count("b")


def test_the_table_of_stylising_compares_plain_pytorch_with_ours(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "RESULTS", results)
    assert_mentions(speed.stylizing(), "measured")
    network = {"with_style_ms": 300.0, "style_known_ms": 200.0, "with_style_peak_tensor_mb": 100.0}
    ratios = {"with_style_times_as_fast": 1.0, "style_known_times_as_fast": 1.5}
    plain = {"plain_ms": 300.0, "plain_peak_tensor_mb": 150.0, "plain_peak_process_mb": 250.5}
    rows = {"stylize_any-style_1024": network, "stylize_adain_512": {**network, **ratios, **plain}}
    write(results / "cpu.json", CPU, rows)
    assert speed.stylizing().splitlines()[4:] == [
        "| `adain`, 512 x 512, plain PyTorch | 300.0 | 300.0 | 150.0 MB | 250.5 MB |",
        "| `adain`, 512 x 512 | 300.0 (**1.00**) | 200.0 (**1.50**) | 100.0 MB |  |",
        "| `any-style`, 1024 x 1024 | 300.0 | 200.0 | 100.0 MB |  |",
    ]
