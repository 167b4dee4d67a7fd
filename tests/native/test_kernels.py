"""The compiled kernels: how they are built, what is left out where something is missing, and how they are loaded.

Most tests build with a false compiler, which notes how it is called and makes empty files.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import threading
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from stylekit import StylekitError, StylekitWarning
from stylekit.native import building, compiling, kernels

ROOT = Path(__file__).parents[2]

FALSE_COMPILER = """#!/bin/sh
if [ "$1" = --version ]; then echo "release 13.0, V13.0.88"; exit; fi
echo "$(basename $0) $@" >> "$(dirname $0)/log"
for word; do
    case $word in *{broken}) echo "$word:3: error: no such thing"; echo "1 error detected."; exit 1;; esac
done
while [ $# -gt 0 ]; do
    case $1 in -o) shift; echo made > "$1";; -MF) shift; echo "it:" > "$1";; esac
    shift
done
"""


@dataclass
class Checkout:
    """A checkout of stylekit whose kernels are not built, and compilers that only note how they are called."""

    root: Path

    @property
    def package(self) -> Path:
        return self.root / "stylekit" / "native"

    def install(self, name: str, broken: str = "/nothing") -> Path:
        """A compiler of that name, first on the PATH, which finds an error in files that end so."""
        path = self.root / "bin" / name
        path.write_text(FALSE_COMPILER.replace("{broken}", broken))
        path.chmod(0o755)
        return path

    def calls(self, *words: str) -> list[list[str]]:
        """The calls of the compilers so far that had all these words or files."""
        lines = [line.split() for line in (self.root / "bin" / "log").read_text().splitlines()]
        return [line for line in lines if all(any(part.endswith(word) for part in line) for word in words)]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    for name in ("stylekit/native", "bin"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "csrc").symlink_to(ROOT / "csrc")
    monkeypatch.setattr(building, "PACKAGE", tmp_path / "stylekit" / "native")
    monkeypatch.setattr(kernels, "PACKAGE", tmp_path / "stylekit" / "native")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    for name in ("CXX", "CXXFLAGS", "CUDA_HOME", "CUDA_PATH", "STYLEKIT_KERNELS"):
        monkeypatch.delenv(name, raising=False)
    made = Checkout(tmp_path)
    made.install("c++")
    return made


def names(folder: Path) -> list[str]:
    return sorted(path.name.partition(".")[0] for path in folder.iterdir())


def test_every_file_is_compiled_once_and_inner_loops_once_for_every_instruction_set(checkout: Checkout) -> None:
    built = building.build_kernels()
    assert [path.name.partition(".")[0] for path in built] == ["_kernels", "_build"]
    assert names(checkout.package) == ["_build", "_kernels"]
    for source in sorted((ROOT / "csrc").glob("*.cpp")) + sorted((ROOT / "csrc" / "cpu").glob("*.cpp")):
        often = len(building.ISAS) if source.name in building.PER_ISA else 1
        assert len(checkout.calls(source.name)) == often, source.name
    assert all((ROOT / "csrc" / "cpu" / name).is_file() for name in building.PER_ISA)
    assert not checkout.calls("-DSTYLEKIT_CUDA")
    if "avx512" in building.ISAS:
        assert not checkout.calls("planes.cpp", "-DSTYLEKIT_ISA=portable", "-mavx2")
        assert len(checkout.calls("planes.cpp", "-DSTYLEKIT_ISA=avx2", "-mavx2")) == 1
        assert len(checkout.calls("-mavx512f")) == len(building.PER_ISA)


def test_a_second_build_compiles_what_changed(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    building.build_kernels()
    before = len(checkout.calls())
    building.build_kernels()
    assert len(checkout.calls()) == before
    monkeypatch.setenv("CXXFLAGS", "-Werror -DNAME='a $b'")
    building.build_kernels()
    assert len(checkout.calls()) == 2 * before
    assert checkout.calls("ops.cpp", "-Werror", "$b")


def test_two_builds_at_once_take_turns(checkout: Checkout) -> None:
    threads = [threading.Thread(target=building.build_kernels) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(checkout.calls("ops.cpp")) == 1
    assert names(checkout.package) == ["_build", "_kernels"]


def test_an_installed_package_has_its_sources_beside_it(checkout: Checkout) -> None:
    (checkout.root / "csrc").rename(checkout.root / "stylekit_csrc")
    building.build_kernels()
    assert names(checkout.package) == ["_build", "_kernels"]
    assert not (checkout.root / "build").exists()
    (checkout.root / "stylekit_csrc").unlink()
    with pytest.raises(StylekitError, match=r"sources are missing in .*Reinstall stylekit"):
        building.build_kernels()


def test_cuda_is_compiled_where_it_is_asked_for_or_torch_has_it(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvcc = checkout.install("nvcc")
    monkeypatch.setattr(torch.version, "cuda", None)
    building.build_kernels()
    assert not checkout.calls("nvcc")
    building.build_kernels(cuda=True)
    assert checkout.calls("ops.cpp", "-DSTYLEKIT_CUDA", "-DUSE_CUDA")
    for source in (ROOT / "csrc" / "cuda").glob("*.cu"):
        [call] = checkout.calls("nvcc", source.name)
        assert [word for word in call if word.startswith("-gencode")] == [
            "-gencode=arch=compute_80,code=sm_80",
            "-gencode=arch=compute_90,code=sm_90",
            "-gencode=arch=compute_100,code=sm_100",
            "-gencode=arch=compute_90,code=compute_90",
        ]
    assert checkout.calls("build.cpp", '-DSTYLEKIT_CUDA_VERSION="13.0"')

    monkeypatch.setattr(torch.version, "cuda", "12.8")
    log = nvcc.with_name("log")
    for asked, compiled in ((False, False), (None, True)):
        log.write_text("")
        shutil.rmtree(checkout.root / "build")
        building.build_kernels(cuda=asked)
        assert bool(checkout.calls("nvcc")) == compiled


def test_nvcc_is_found_by_its_home_first(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    nvcc = checkout.install("nvcc")
    assert compiling.find_nvcc() == str(nvcc)
    monkeypatch.setenv("CUDA_HOME", str(checkout.root / "away"))
    assert compiling.find_nvcc() == str(nvcc)
    (checkout.root / "home" / "bin").mkdir(parents=True)
    home = shutil.copy(nvcc, checkout.root / "home" / "bin" / "nvcc")
    monkeypatch.setenv("CUDA_HOME", str(checkout.root / "home"))
    assert compiling.find_nvcc() == str(home)
    assert compiling.cuda_targets("12.8") == ["sm_80", "sm_90", "compute_90"]


@pytest.mark.parametrize("asked", [True, None])
def test_without_a_good_cuda_the_rest_is_built(
    checkout: Checkout, asked: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not list((ROOT / "csrc" / "cuda").glob("*.cu")):
        pytest.skip("there are no CUDA files")
    checkout.install("nvcc", broken=".cu")
    told = r"Compiled without CUDA. Compiling the kernels failed: .*\.cu:3: error: no such thing.*build --debug` shows"
    monkeypatch.setattr("torch.version.cuda", "13.0")
    with pytest.raises(StylekitError, match=told) if asked else pytest.warns(StylekitWarning, match=told):
        building.build_kernels(cuda=asked)
    assert names(checkout.package) == ["_build", "_kernels"]


def test_an_error_of_the_compiler_is_shown_and_the_old_files_stay(checkout: Checkout) -> None:
    building.build_kernels()
    before = {path: path.read_bytes() for path in checkout.package.iterdir()}
    shutil.rmtree(checkout.root / "build")
    checkout.install("c++", broken="gram.cpp")
    with pytest.raises(
        StylekitError, match=r"Compiling the kernels failed: .*gram.cpp:3: error: no such thing"
    ) as raised:
        building.build_kernels()
    assert "\n" not in str(raised.value)
    assert "1 error detected" not in str(raised.value)
    assert "1 error detected" in str(raised.value.__cause__)
    assert {path: path.read_bytes() for path in checkout.package.iterdir()} == before


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name in packages else real(name))


def test_what_is_missing_is_named(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout.root / "bin"))
    monkeypatch.setattr(compiling, "find_nvcc", lambda: None)
    with pytest.raises(StylekitError, match=r"requested, but nvcc was not found. Add it to the PATH, set CUDA_HOME"):
        building.build_kernels(cuda=True)
    with pytest.raises(
        StylekitError, match=r"folder of the kernels, .*below, is not writable: Not a directory. Run this"
    ):
        building.build_kernels(checkout.install("file") / "below")
    with monkeypatch.context() as patch:
        without(patch, "ninja")
        with pytest.raises(
            StylekitError, match=r"There is no ninja, which runs the compiler. Install it with `pip install"
        ):
            building.build_kernels()
    with monkeypatch.context() as patch:
        without(patch, "torch")
        with pytest.raises(StylekitError, match="compiled against torch, which is not installed"):
            building.build_kernels()
    (checkout.root / "bin" / "c++").unlink()
    with pytest.raises(StylekitError, match=r"There is no C\+\+ compiler. Install g\+\+ or clang\+\+, or set the"):
        building.build_kernels()
    assert not list(checkout.package.iterdir())


def test_without_pybind11_the_operations_are_built_all_the_same(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "pybind11")
    assert [path.name for path in building.build_kernels()] == [building.LIBRARY]


# ---- Installing ----


@pytest.fixture
def project(checkout: Checkout) -> Checkout:
    """What it takes to install, in a folder of its own."""
    shutil.rmtree(checkout.package.parent)
    for name in ("stylekit", "plugins"):
        shutil.copytree(ROOT / name, checkout.root / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout.root)
    return checkout


def wheel(project: Checkout, **environment: str) -> tuple[str, list[str], str]:
    """The wheel's tag, what is in it, and what setup.py said of the kernels."""
    code = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
    environment = {"PATH": f"{project.root / 'bin'}:/usr/bin:/bin", **environment}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project.root, env=environment, capture_output=True, text=True, check=True
    )
    [path] = (project.root / "dist").iterdir()
    told = {line for line in done.stdout.splitlines() if line.startswith("stylekit.native._kernels ")}
    assert len(told) == 1, told
    return path.stem.partition("0.1.0-")[2], zipfile.ZipFile(path).namelist(), told.pop()


@pytest.mark.slow
def test_a_wheel_carries_the_kernels_and_their_sources(project: Checkout) -> None:
    tag, files, told = wheel(project, STYLEKIT_CUDA="0")
    assert told == "stylekit.native._kernels was compiled."
    assert tag != "py3-none-any"
    assert sum(name.startswith(("stylekit/native/_kernels.", "stylekit/native/_build.")) for name in files) == 2
    wanted = {
        path.relative_to(ROOT / "csrc").as_posix() for path in (ROOT / "csrc").rglob("*.*") if path.suffix != ".sh"
    }
    assert {name.removeprefix("stylekit_csrc/") for name in files if name.startswith("stylekit_csrc/")} == wanted
    packages = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "stylekit").rglob("*.py")}
    assert packages <= {name.rpartition("/")[0] for name in files}


def test_an_install_without_a_compiler_is_python_only(project: Checkout) -> None:
    tag, files, told = wheel(project, PATH="")
    assert told.startswith("stylekit.native._kernels is left out. There is no C++ compiler. Install g++ or")
    assert tag == "py3-none-any"
    assert not [name for name in files if name.endswith(".so")]
    assert "stylekit_csrc/cpu/isa.cpp" in files


@pytest.mark.slow
def test_an_install_goes_on_where_the_kernels_do_not_compile(project: Checkout) -> None:
    project.install("c++", broken="ops.cpp")
    _, files, told = wheel(project)
    assert told.startswith("stylekit.native._kernels is left out. Compiling the kernels failed: ")
    assert not [name for name in files if name.endswith(".so")]


# ---- Loading ----


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the kernels, really compiled."""
    if compiling.find_compiler() is None:
        pytest.skip("there is no C++ compiler")
    folder = tmp_path_factory.mktemp("built")
    building.build_kernels(folder, cuda=False)
    return folder


def apart(folder: Path, code: str) -> Any:
    """What ``code`` puts into ``told``, in a process of its own whose kernels are looked for in the folder."""
    code = f"""
import json, sys, warnings
from pathlib import Path
from stylekit.native import kernels
kernels.PACKAGE = Path(sys.argv[1])
warnings.simplefilter("error")
{code}
print(json.dumps(told))
"""
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_kernels_load_and_compute(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STYLEKIT_KERNELS", raising=False)
    told = apart(
        built,
        """
state = kernels.load_kernels()
import torch
gram = torch.ops.stylekit.gram(torch.ones(1, 2, 3, 3), True)
told = [state.live, state.cuda, state.why, gram.tolist(), torch.ops.stylekit.gram.default._schema.name]
""",
    )
    assert told[:2] == [True, False]
    assert told[2].startswith("built")
    assert told[3:] == [[[[0.5, 0.5], [0.5, 0.5]]], "stylekit::gram"]


@pytest.mark.slow
def test_a_library_of_another_version_is_not_used(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STYLEKIT_KERNELS", raising=False)
    told = apart(
        built,
        """
told, known = [], dict(kernels.OPS)
for change in ({"whirl": 1}, {"gram": 3}):
    kernels.OPS = known | change
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        state = kernels.load_kernels()
    told.append([state.live, state.why, [str(it.message) for it in caught]])
""",
    )
    for (live, why, [warning]), name in zip(told, ("whirl", "gram"), strict=True):
        assert not live
        assert why == (
            f"failed to load: {built}/_kernels.so was built from another version of stylekit: {name} differs; "
            "rebuild with `stylekit kernels build`"
        )
        assert warning == f"The compiled kernels {why}. Until then stylekit uses plain PyTorch."


def test_a_damaged_library_costs_one_warning(checkout: Checkout) -> None:
    building.build_kernels()
    with pytest.warns(StylekitWarning, match=r"kernels failed to load: .*too short; rebuild with `styl") as caught:
        state = kernels.load_kernels()
    assert len(caught) == 1
    assert (state.live, state.cuda) == (False, False)


def test_the_environment_says_whether_they_are_used(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    built_nothing = kernels.Kernels(False, False, "not built: run `stylekit kernels build`")
    assert kernels.load_kernels() == built_nothing
    for asked in ("", "auto"):
        monkeypatch.setenv("STYLEKIT_KERNELS", asked)
        assert kernels.load_kernels() == built_nothing
    (checkout.package / building.LIBRARY).write_text("not looked at")
    monkeypatch.setenv("STYLEKIT_KERNELS", "reference")
    assert kernels.load_kernels() == replace(built_nothing, why="STYLEKIT_KERNELS=reference")
    monkeypatch.setenv("STYLEKIT_KERNELS", "fast")
    with pytest.raises(StylekitError, match=r"Invalid STYLEKIT_KERNELS='fast': use 'auto', or 'reference'"):
        kernels.load_kernels()


def report(folder: Path) -> dict[str, Any]:
    """What the build tells; in a process of its own, as two modules of one name are one to pybind11."""
    code = """
import importlib.util
[path] = kernels.PACKAGE.glob("_build*")
spec = importlib.util.spec_from_file_location("_build", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
told = module.report()
"""
    told: dict[str, Any] = apart(folder, code)
    return told


def test_the_build_tells_of_itself(built: Path) -> None:
    told = report(built)
    assert told["isas"] == list(building.ISAS)
    assert told["isa"] in building.ISAS
    assert told["compiler"].split()[0] in ("gcc", "clang")
    assert torch.__version__.startswith(told["torch"])
    assert (told["torch_from"], told["cuda"], told["architectures"]) == ("2.10", "", "")


@pytest.mark.long
def test_built_for_cuda_they_load_into_a_torch_without(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvcc = compiling.find_nvcc()
    if nvcc is None:
        pytest.skip("there is no nvcc")
    monkeypatch.delenv("STYLEKIT_KERNELS", raising=False)
    building.build_kernels(tmp_path, cuda=True)
    told = apart(
        tmp_path,
        """
state = kernels.load_kernels()
import torch
gram = torch.ops.stylekit.gram(torch.ones(1, 2, 3, 3), False)
has = torch._C._dispatch_has_kernel_for_dispatch_key("stylekit::gram", "CUDA")
told = [state.live, state.cuda, gram.sum().item(), has]
""",
    )
    assert told == [True, torch.version.cuda is not None, 36, True]
    assert report(tmp_path)["cuda"] == compiling.cuda_version(nvcc)
