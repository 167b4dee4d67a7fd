"""DICOM and NIfTI files for stylekit. Not for diagnosis: see the README."""

from __future__ import annotations

from stylekit import hookimpl
from stylekit.hookspecs import ImageFormat
from stylekit_medical.dicom import Dicom
from stylekit_medical.nifti import Nifti

STYLEKIT_API = 1


@hookimpl
def stylekit_image_formats() -> dict[str, ImageFormat]:
    return {".dcm": Dicom(), ".nii": Nifti(), ".nii.gz": Nifti(compressed=True)}
