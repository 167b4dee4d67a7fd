"""The example package for DICOM and NIfTI: its own tests, and a CT slice from a folder to a model and back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import stylekit
from stylekit import StylekitError, images
from stylekit.registry import lookup
from stylekit.testing.catalogue import PLUGIN, examine
from stylekit.testing.kit import Subject
from tests.facts import raises

if TYPE_CHECKING:
    from tests.conftest import Install

pydicom = pytest.importorskip("pydicom")
nibabel = pytest.importorskip("nibabel")
EXAMPLE = Path(__file__).parents[1] / "examples" / "medical"


@pytest.fixture(autouse=True)
def plugin(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example as an installed package."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    install("stylekit-medical", "medical", "from stylekit_medical import stylekit_image_formats")


@pytest.mark.slow
def test_its_own_tests_pass() -> None:
    path = os.pathsep.join([str(EXAMPLE), os.environ.get("PYTHONPATH", "")])
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests")]
    done = subprocess.run(line, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_it_does_what_the_contract_says() -> None:
    found = examine(Subject(PLUGIN, "medical", lookup.find_plugin("medical")))
    assert [finding for finding in found if finding.fault and finding.check != "metadata"] == []
    assert lookup.loaded_state(lookup.find_plugin("medical")) == ("loads", "image format .dcm, .nii, .nii.gz")


def test_a_ct_slice_goes_from_a_folder_to_a_model_and_back(tmp_path: Path) -> None:
    hounsfield = np.random.default_rng(0).integers(-1000, 400, (3, 24, 40)).astype(np.int16)
    folder = tmp_path / "scans"
    folder.mkdir()
    volume = nibabel.Nifti1Image(np.ascontiguousarray(hounsfield.T), np.diag([0.5, 0.5, 2, 1]))
    nibabel.save(volume, folder / "scan.nii.gz")
    data = {"name": "rasters", "window": [-1000, 400], "content": str(folder)}
    given = {"generator": {"name": "nafnet", "width": 4, "blocks": [1, 1]}, "channels": 1}
    out = tmp_path / "run"
    run = stylekit.train("restore", out=out, size=24, steps=1, workers=0, device="cpu", data=data, set=given)
    model = stylekit.load(run, "cpu")
    made = model.stylize(folder / "scan.nii.gz", strength=0.0)
    assert np.array_equal(made.values[..., 0], hounsfield)
    changed = model.stylize(folder / "scan.nii.gz")
    assert changed.values.dtype == np.int16
    images.write_raster(tmp_path / "out.nii.gz", changed)
    again = nibabel.load(tmp_path / "out.nii.gz")
    assert np.array_equal(np.asarray(again.dataobj).T, changed.values[..., 0])
    assert np.array_equal(again.affine, volume.affine)


def test_a_file_of_another_format_cannot_become_a_dicom_file(tmp_path: Path) -> None:
    raster = images.Raster(np.zeros((1, 8, 8, 1), np.int16))
    with raises(StylekitError, tmp_path / "out.dcm", "made of another one", ".npy"):
        images.write_raster(tmp_path / "out.dcm", raster)
    (tmp_path / "in.dcm").write_text("no scan")
    with raises(StylekitError, tmp_path / "in.dcm", "cannot be read"):
        images.read_raster(tmp_path / "in.dcm")


def test_two_packages_with_one_format_are_a_conflict(install: Install, tmp_path: Path) -> None:
    install("scanner", "scanner", "from stylekit_medical import stylekit_image_formats")
    with raises(StylekitError, "image format '.dcm'", "stylekit-medical 1.0", "scanner 1.0"):
        images.read_raster(tmp_path / "in.dcm")


@pytest.mark.parametrize("returned", ["['.dcm']", "{'dcm': Dicom()}", "{'.dcm': object()}", "{'.DCM': Dicom()}"])
def test_a_wrong_hook_is_one_warning(install: Install, tmp_path: Path, returned: str) -> None:
    source = "from stylekit import hookimpl\nfrom stylekit_medical.dicom import Dicom\n@hookimpl\n"
    install("scanner", "scanner", f"{source}def stylekit_image_formats():\n    return {returned}\n")
    with pytest.warns(stylekit.StylekitWarning, match=r"plugin 'scanner'.*stylekit_image_formats"):
        assert set(lookup.image_formats()) == {".dcm", ".nii", ".nii.gz"}
