"""DICOM and NIfTI files come back as they were, against pydicom and nibabel themselves."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from stylekit import StylekitError
from stylekit_medical import stylekit_image_formats
from stylekit_medical.dicom import Dicom
from stylekit_medical.nifti import Nifti


def slices(kind: str = "int16", shape: tuple[int, ...] = (20, 30), low: int = -1024, high: int = 3071) -> Any:
    return np.random.default_rng(0).integers(low, high, shape, endpoint=True).astype(kind)


def dicom(path: Path, stored: np.ndarray[Any, Any], syntax: str = ExplicitVRLittleEndian, **tags: Any) -> Path:
    """A file with these stored values."""
    file = pydicom.Dataset()
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = syntax
    file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID = CTImageStorage
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID = generate_uid()
    file.SeriesInstanceUID, file.PatientName = generate_uid(), "Doe^Jane"
    file.Rows, file.Columns = stored.shape[-2:] if stored.ndim < 3 or stored.shape[-1] != 3 else stored.shape[-3:-1]
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated = 8 * stored.itemsize
    file.BitsStored, file.HighBit = file.BitsAllocated, file.BitsAllocated - 1
    file.PixelRepresentation, file.PixelSpacing = int(stored.dtype.kind == "i"), [0.5, 0.75]
    for name, value in tags.items():
        setattr(file, name, value)
    file["PixelData"] = pydicom.DataElement(0x7FE00010, "OW", stored.tobytes())
    implicit = syntax == ImplicitVRLittleEndian
    pydicom.dcmwrite(path, file, enforce_file_format=True, implicit_vr=implicit, little_endian=True)
    return path


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize(
    ("tags", "kind", "values", "found"),
    [
        ({"RescaleSlope": 1, "RescaleIntercept": -1024}, "uint16", lambda stored: stored.astype(int) - 1024, "int32"),
        ({"RescaleSlope": 1, "RescaleIntercept": 0}, "int16", lambda stored: stored, "int16"),
        (
            {"RescaleSlope": 2, "RescaleIntercept": 8, "BitsStored": 12, "HighBit": 11},
            "uint16",
            lambda s: 2 * s + 8,
            "int16",
        ),
        ({"RescaleSlope": 0.25, "RescaleIntercept": 0}, "uint16", lambda stored: stored / 4, "float64"),
        ({}, "int16", lambda stored: stored, "int16"),
        ({"RescaleIntercept": -5}, "int16", lambda stored: stored.astype(int) - 5, "int32"),
    ],
)
def test_dicom_has_the_values_of_the_modality_and_comes_back(
    tmp_path: Path, tags: dict[str, Any], kind: str, values: Any, found: str, syntax: str
) -> None:
    stored = slices(kind, low=-1024 if kind == "int16" else 0)
    path = dicom(tmp_path / "ct.dcm", stored, syntax, **tags)
    read, original = Dicom().read(path)
    assert read.dtype == found
    assert np.array_equal(read[0, ..., 0], values(stored))
    (tmp_path / "out.dcm").write_bytes(Dicom().encode(read, original))
    again = pydicom.dcmread(tmp_path / "out.dcm")
    assert np.array_equal(again.pixel_array, stored)
    assert (again.PatientName, again.get("RescaleSlope")) == ("Doe^Jane", pydicom.dcmread(path).get("RescaleSlope"))


def test_a_changed_image_is_a_derived_one_in_a_series_of_its_own(tmp_path: Path) -> None:
    path = dicom(tmp_path / "ct.dcm", slices(), SmallestImagePixelValue=0, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"])
    values, original = Dicom().read(path)
    written = [tmp_path / "one.dcm", tmp_path / "two.dcm"]
    for out in written:
        out.write_bytes(Dicom().encode(values.clip(-1000, 400), original))
    one, two, before = (pydicom.dcmread(each) for each in (*written, path))
    assert one.ImageType == ["DERIVED", "SECONDARY", "AXIAL"]
    assert "Not for diagnosis" in one.DerivationDescription
    assert len({each.SOPInstanceUID for each in (one, two, before)}) == 3
    assert one.SOPInstanceUID == one.file_meta.MediaStorageSOPInstanceUID
    assert one.SeriesInstanceUID == two.SeriesInstanceUID != before.SeriesInstanceUID
    assert "SmallestImagePixelValue" not in one
    assert np.array_equal(one.pixel_array, slices().clip(-1000, 400))


def test_values_beyond_the_bits_that_are_stored_are_clipped(tmp_path: Path) -> None:
    tags = {"BitsStored": 12, "HighBit": 11, "RescaleSlope": 1, "RescaleIntercept": -1024}
    values, original = Dicom().read(dicom(tmp_path / "ct.dcm", slices("uint16", low=0, high=4095), **tags))
    content = Dicom().encode(np.where(values > 0, 9000, -9000), original)
    (tmp_path / "out.dcm").write_bytes(content)
    assert set(np.unique(pydicom.dcmread(tmp_path / "out.dcm").pixel_array)) == {0, 4095}


def test_frames_are_pages_colours_are_channels_and_enlarged_pixels_are_smaller(tmp_path: Path) -> None:
    frames = slices("uint8", (4, 20, 30), 0, 255)
    values, original = Dicom().read(dicom(tmp_path / "frames.dcm", frames, NumberOfFrames=4))
    assert np.array_equal(values[..., 0], frames)
    (tmp_path / "out.dcm").write_bytes(Dicom().encode(values.repeat(2, 1).repeat(2, 2), original))
    again = pydicom.dcmread(tmp_path / "out.dcm")
    assert np.array_equal(again.pixel_array, frames.repeat(2, 1).repeat(2, 2))
    assert list(again.PixelSpacing) == [0.25, 0.375]
    colors = slices("uint8", (20, 30, 3), 0, 255)
    tags = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    values, original = Dicom().read(dicom(tmp_path / "colors.dcm", colors, **tags))
    assert np.array_equal(values[0], colors)
    (tmp_path / "out.dcm").write_bytes(Dicom().encode(values, original))
    assert np.array_equal(pydicom.dcmread(tmp_path / "out.dcm").pixel_array, colors)


@pytest.mark.parametrize(
    ("tags", "fact"),
    [
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "palette"),
        ({"RescaleSlope": 0}, "slope of 0"),
    ],
)
def test_dicom_files_of_other_kinds_are_refused(tmp_path: Path, tags: dict[str, Any], fact: str) -> None:
    with pytest.raises(StylekitError, match=fact):
        Dicom().read(dicom(tmp_path / "ct.dcm", slices(), **tags))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("shape", [(30, 20), (30, 20, 5), (30, 20, 5, 2)])
@pytest.mark.parametrize(
    ("kind", "slope", "inter"), [("int16", 1, 0), ("uint8", 2, -10), ("int16", 0.5, 3), ("float32", 1, 0)]
)
def test_nifti_comes_back(
    tmp_path: Path, suffix: str, shape: tuple[int, ...], kind: str, slope: float, inter: float
) -> None:
    stored = slices(kind, shape, 0, 255)
    image = nibabel.Nifti1Image(stored, np.diag([0.5, 0.75, 3, 1]))
    image.header.set_slope_inter(slope, inter)
    image.header["descrip"] = b"a phantom"
    nibabel.save(image, tmp_path / f"in{suffix}")
    format_ = stylekit_image_formats()[suffix]
    values, original = format_.read(tmp_path / f"in{suffix}")
    truth = nibabel.load(tmp_path / f"in{suffix}").get_fdata()
    assert values.shape == (int(np.prod(shape[2:])), 20, 30, 1)
    assert np.allclose(values[0, ..., 0], truth.reshape(30, 20, -1)[..., 0].T)
    if len(shape) == 3:
        assert np.allclose(values[3, ..., 0], truth[..., 3].T)
    (tmp_path / f"out{suffix}").write_bytes(format_.encode(values, original))
    again = nibabel.load(tmp_path / f"out{suffix}")
    assert np.array_equal(again.dataobj.get_unscaled(), stored)
    assert (again.get_data_dtype(), again.dataobj.slope, again.dataobj.inter) == (np.dtype(kind), slope, inter)
    assert np.array_equal(again.affine, image.affine)
    assert bytes(again.header["descrip"].item()) == b"a phantom"


def test_what_needs_an_original_says_so(tmp_path: Path) -> None:
    for format_ in (Dicom(), Nifti()):
        with pytest.raises(StylekitError, match=r"made of another one.*\.tif or \.npy"):
            format_.encode(slices()[None, ..., None], None)
    nibabel.save(nibabel.Nifti1Image(slices(), np.eye(4)), tmp_path / "in.nii")
    values, original = Nifti().read(tmp_path / "in.nii")
    with pytest.raises(StylekitError, match="keep their size"):
        Nifti().encode(values.repeat(2, 1), original)
    assert gzip.decompress(Nifti(compressed=True).encode(values, original)) == Nifti().encode(values, original)
