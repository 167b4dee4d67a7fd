"""What a release carries: the source distribution, and wheels built from it, with and without a compiler."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from stylekit import __version__
from stylekit.native import building, compiling
from tests.venvs import NO_COMPILER, FreshEnvironment, build_wheel, call, copy_sources

ROOT = Path(__file__).parents[1]
PACKAGES = {"stylekit": "stylekit", "stylekit_csrc": "csrc", "stylekit_plugins": "plugins"}
"""Where what is installed lies in a checkout."""
DATA = {"stylekit/cli/serving/page.html", "stylekit/evaluation/report.html", "stylekit/py.typed"}
NOT_INSTALLED = {"stylekit_csrc/cuda/check.sh"}
METADATA = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt"}
STRAYS = (
    "stylekit/training/__pycache__/engine.cpython-311.pyc",
    "stylekit/native/_kernels.so",
    "stylekit/cli/templates/__pycache__/method.cpython-311.pyc",
    "tests/.pytest_cache/index",
    "build/lib/stylekit/gone.py",
    "examples/grain/build/temp/grain.o",
    "runs/1/model.safetensors",
    "stylekit_torch.egg-info/SOURCES.txt",
)
"""What may lie in a checkout and does not belong into a release."""

pytestmark = pytest.mark.slow


def files(folder: Path) -> set[str]:
    """The files below a folder, relative to it."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources, in a folder of their own."""
    return copy_sources(ROOT, tmp_path_factory.mktemp("release") / "checkout")


@pytest.fixture(scope="module")
def sdist(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, built without a compiler in a checkout where strays lie."""
    littered = copy_sources(checkout, checkout.with_name("littered"))
    for stray in STRAYS:
        (littered / stray).parent.mkdir(parents=True, exist_ok=True)
        (littered / stray).write_text("stray")
    out = tmp_path_factory.mktemp("sdist")
    call(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", out, littered, **NO_COMPILER)
    [made] = out.iterdir()
    return made


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return folder / f"stylekit_torch-{__version__}"


@pytest.fixture(scope="module")
def pure(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built from the source distribution where there is no compiler."""
    return build_wheel(unpacked, tmp_path_factory.mktemp("pure"), **NO_COMPILER)


@pytest.fixture(scope="module")
def compiled(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built from the source distribution where there is one."""
    if compiling.find_compiler() is None:
        pytest.skip("there is no C++ compiler")
    return build_wheel(unpacked, tmp_path_factory.mktemp("compiled"), STYLEKIT_CUDA="0")


def installed(checkout: Path) -> set[str]:
    """What a wheel without kernels installs, as the checkout has it: every module, the C++ sources, and the data."""
    found = {
        f"{package}/{name}"
        for package, folder in PACKAGES.items()
        for name in files(checkout / folder)
        if name.endswith((".py", ".safetensors", ".onnx"))
        or package == "stylekit_csrc"
        or name.startswith("cli/templates/")
    }
    return (found | DATA) - NOT_INSTALLED


def contents(wheel: Path) -> set[str]:
    """The files of a wheel, without its metadata, which are checked."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    metadata = {f"stylekit_torch-{__version__}.dist-info/{name}" for name in METADATA}
    assert metadata <= names
    return names - metadata


def test_the_source_distribution_is_the_checkout(checkout: Path, unpacked: Path) -> None:
    made = {"PKG-INFO", "setup.cfg"} | {name for name in files(unpacked) if name.startswith("stylekit_torch.egg-info/")}
    assert files(unpacked) - made == files(checkout)
    assert {"tests/conftest.py", "tests/cli/conftest.py", "csrc/ops.cpp", "docs/kernels.md"} <= files(unpacked)


def test_without_a_compiler_the_wheel_is_python_only(checkout: Path, pure: Path) -> None:
    assert pure.name == f"stylekit_torch-{__version__}-py3-none-any.whl"
    assert contents(pure) == installed(checkout)
    assert {name.partition("/")[0] for name in contents(pure)} == set(PACKAGES)


def test_with_a_compiler_the_wheel_has_the_kernels(checkout: Path, compiled: Path) -> None:
    assert "none-any" not in compiled.name
    kernels = {name for name in contents(compiled) if name.endswith(".so")}
    assert contents(compiled) - kernels == installed(checkout)
    assert sorted(name.partition(".")[0] for name in kernels) == ["stylekit/native/_build", "stylekit/native/_kernels"]
    assert f"stylekit/native/{building.LIBRARY}" in kernels


def test_the_package_index_would_take_them(sdist: Path, pure: Path, compiled: Path) -> None:
    told = call(sys.executable, "-m", "twine", "check", "--strict", sdist, pure, compiled)
    assert told.stdout.count("PASSED") == 3


@pytest.mark.parametrize("kind", ["pure", "compiled"])
def test_what_is_installed_works(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    fresh = FreshEnvironment(tmp_path / "fresh")
    fresh.install(request.getfixturevalue(kind))

    version = fresh.run("stylekit", "--version")
    assert (version.returncode, version.stdout, version.stderr) == (0, f"stylekit {__version__}\n", "")

    plugins = fresh.run("stylekit", "plugins")
    assert (plugins.returncode, plugins.stderr) == (0, "")
    assert {"cyclegan", "resnet", "scenes"} <= set(plugins.stdout.split())

    code = "import stylekit; from stylekit.ops.kernel import KERNELS; print(stylekit.__file__, KERNELS.why, sep='\\n')"
    told = fresh.run("python", "-W", "error", "-c", code, STYLEKIT_KERNELS="auto")
    home, why = told.stdout.splitlines()
    assert Path(home).is_relative_to(fresh.folder)
    assert why.startswith("built with" if kind == "compiled" else "not built: run `stylekit kernels build`"), told

    fresh.uninstall("stylekit-torch")
    assert not list(fresh.folder.glob("lib/*/site-packages/stylekit*"))
