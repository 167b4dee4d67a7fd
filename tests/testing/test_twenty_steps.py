"""Every method that the package brings trains twenty steps and resumes exactly in the middle of them."""

from __future__ import annotations

import pytest

from stylekit.registry import lookup
from stylekit.testing import method_training
from stylekit.testing.kit import Subject

METHODS = [
    name
    for name in lookup.part_names("method")
    if all(owner.package == "stylekit-torch" for owner in lookup.part_owners("method", name))
]


@pytest.mark.long
@pytest.mark.parametrize("name", METHODS)
def test_a_run_of_twenty_steps_resumes_exactly(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method_training, "STEPS", 20)
    monkeypatch.setattr(method_training, "STOPPED", 11)
    subject = Subject("method", name, lookup.find_part("method", name))
    trains = bool(subject.build().players())
    assert method_training._resumed(subject) == ("resumes exactly" if trains else "")
