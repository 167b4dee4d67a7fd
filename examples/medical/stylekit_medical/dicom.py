"""DICOM files: values after the modality's slope and intercept, such as Hounsfield units of CT."""

from __future__ import annotations

import copy
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stylekit import StylekitError
from stylekit_medical.rescaling import Array, Rescaling

if TYPE_CHECKING:
    import pydicom

GREY, COLOR = ("MONOCHROME1", "MONOCHROME2"), ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
EXTREMES = ("SmallestImagePixelValue", "LargestImagePixelValue")


class Dicom:
    """Reads and writes the images of DICOM files; frames are pages.

    What is written is a derived image: it has an identity of its own, and a series of its own that is the same for all images
    of one series. All else that the file says, the patient's name too, is kept.
    """

    def read(self, path: Path) -> tuple[Array, pydicom.Dataset]:
        """The values ``(P, H, W, C)``. Without a slope and an intercept, the values are those that are stored."""
        import pydicom  # only here, because it takes time, and changes the filters of warnings

        file = pydicom.dcmread(path)
        if "PixelData" not in file:
            raise StylekitError(f"{path} has no image.")
        if file.PhotometricInterpretation not in (*GREY, *COLOR) or "ModalityLUTSequence" in file:
            raise StylekitError(f"{path} has a palette or a table of values, which is not supported.")
        stored = file.pixel_array
        frames = int(file.get("NumberOfFrames") or 1)
        stored = stored.reshape(frames, file.Rows, file.Columns, file.SamplesPerPixel)
        return _rescaling(file).to_values(stored), file

    def encode(self, values: Array, original: pydicom.Dataset | None) -> bytes:
        """A file like the original with these values."""
        import pydicom
        from pydicom.uid import ExplicitVRLittleEndian, generate_uid

        if original is None:
            raise StylekitError(
                "a DICOM file is made of another one, whose patient and study it names. Write .tif or .npy."
            )
        file, size = copy.deepcopy(original), (int(original.Rows), int(original.Columns))
        stored = _rescaling(original).to_stored(values, np.dtype(_kind(original)).newbyteorder("<"))
        if stored.tobytes() != _bytes(original):
            file.ImageType = ["DERIVED", "SECONDARY", *list(original.get("ImageType") or [])[2:]]
            file.DerivationDescription = "Changed by a neural network (stylekit). Not for diagnosis."
        file.Rows, file.Columns = values.shape[1:3]
        if spacing := original.get("PixelSpacing"):
            ratios = (before / after for before, after in zip(size, values.shape[1:3], strict=True))
            file.PixelSpacing = [float(side) * ratio for side, ratio in zip(spacing, ratios, strict=True)]
        if file.SamplesPerPixel > 1:
            file.PhotometricInterpretation, file.PlanarConfiguration = "RGB", 0
        for name in EXTREMES:
            if name in file:
                delattr(file, name)
        file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        if series := original.get("SeriesInstanceUID"):
            file.SeriesInstanceUID = generate_uid(entropy_srcs=[str(series), "stylekit"])
        file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        content = stored.tobytes()
        file["PixelData"] = pydicom.DataElement(0x7FE00010, "OW", content + bytes(len(content) % 2))
        written = io.BytesIO()
        pydicom.dcmwrite(written, file, enforce_file_format=True, implicit_vr=False, little_endian=True)
        return written.getvalue()


def _bytes(file: pydicom.Dataset) -> bytes:
    """The stored pixels, uncompressed."""
    return bytes(np.ascontiguousarray(file.pixel_array).astype(np.dtype(_kind(file)).newbyteorder("<")).tobytes())


def _kind(file: pydicom.Dataset) -> str:
    """The type of stored values."""
    return f"{'int' if file.PixelRepresentation else 'uint'}{file.BitsAllocated}"


def _rescaling(file: pydicom.Dataset) -> Rescaling:
    bits, signed = int(file.BitsStored), int(file.PixelRepresentation)
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return Rescaling(_number(file, "RescaleSlope", 1.0), _number(file, "RescaleIntercept", 0.0), least, most)


def _number(file: pydicom.Dataset, name: str, missing: float) -> float:
    value: Any = file.get(name)
    return missing if value is None else float(value)
