"""The notebook: its cells run in their order."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

NOTEBOOK = Path(__file__).parents[1] / "examples" / "stylekit.ipynb"


def cells() -> list[str]:
    """The code of the notebook, without what installs packages."""
    content: dict[str, Any] = json.loads(NOTEBOOK.read_text())
    assert (content["nbformat"], [cell["outputs"] for cell in content["cells"] if "outputs" in cell]) == (4, [[]] * 8)
    code = ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]
    return [each for each in code if not each.startswith("%pip")]


@pytest.mark.slow
def test_every_cell_runs_and_those_with_a_result_show_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    shown = 0
    for code in cells():
        if code.startswith("!"):
            subprocess.run([sys.executable, "-m", *code[1:].split()], check=True)
            continue
        *body, last = ast.parse(code).body
        exec(compile(ast.Module(body, []), "cell", "exec"), names)
        assert isinstance(last, ast.Expr)
        result = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
        assert isinstance(result, Image.Image)
        assert (result._repr_png_() or b"").startswith(b"\x89PNG")
        shown += 1
    assert shown == 6
    assert (tmp_path / "styled.png").exists()
