"""Which checks there are, by kind of part, and running all of a subject's."""

from __future__ import annotations

from stylekit.testing import kit
from stylekit.testing.datasets import DATASET
from stylekit.testing.kit import Check, Finding, Subject
from stylekit.testing.losses import LOSS
from stylekit.testing.methods import METHOD
from stylekit.testing.models import MODEL
from stylekit.testing.networks import DISCRIMINATOR, ENCODER, GENERATOR
from stylekit.testing.packages import PLUGIN

CHECKS: dict[str, tuple[Check, ...]] = {
    "method": METHOD,
    "generator": GENERATOR,
    "discriminator": DISCRIMINATOR,
    "loss": LOSS,
    "dataset": DATASET,
    "encoder": ENCODER,
    "model": MODEL,
    "plugin": PLUGIN,
}
"""The checks of each kind of part, and of a plugin as a whole."""


def examine(subject: Subject) -> list[Finding]:
    """Runs every check of the subject's kind. If it cannot even be built or loaded, only that is found."""
    return list(kit.run_checks(subject, CHECKS[subject.kind]))
