"""Evaluation: metrics of a model's or another program's images, with intervals and everything needed to reproduce them."""

from stylekit.evaluation.evaluate import Evaluation, evaluate
from stylekit.evaluation.inputs import Inputs
from stylekit.evaluation.page import write_report
from stylekit.evaluation.pictures import DatasetPictures, FolderPictures, Pictures
from stylekit.evaluation.subjects import FolderSubject, ModelSubject, Subject

__all__ = [
    "DatasetPictures",
    "Evaluation",
    "FolderPictures",
    "FolderSubject",
    "Inputs",
    "ModelSubject",
    "Pictures",
    "Subject",
    "evaluate",
    "write_report",
]
