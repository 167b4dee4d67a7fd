"""The check of devices leaves nothing in a part's file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.testing.samples import GENERATOR, RETURN, altered, fault, part

if TYPE_CHECKING:
    from tests.testing.conftest import Write


def test_tensors_that_a_file_caches_during_the_check_of_devices_are_dropped(write: Write) -> None:
    cached = "CACHE.setdefault(content.shape[-1], torch.zeros(1, device=content.device))"
    changes = (
        RETURN,
        f"return (self.net(content) + {cached}).sigmoid()",
        "class Network",
        "CACHE = {}\n\nclass Network",
    )
    subject = part(write(altered(GENERATOR, changes)))
    assert fault(subject, "devices") == ""
    assert subject.target.forward.__globals__["CACHE"] == {}
