"""The check of devices leaves nothing behind in the part's file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.testing.samples import GENERATOR, SHOWN, fault, part

if TYPE_CHECKING:
    from tests.testing.conftest import Write


def test_what_a_file_remembers_of_the_check_of_devices_is_forgotten(write: Write) -> None:
    cached = "CACHE.setdefault(content.shape[-1], torch.zeros(1, device=content.device))"
    source = GENERATOR.replace(SHOWN, f"return (self.net(content) + {cached}).sigmoid()")
    subject = part(write(source.replace("class Network", "CACHE = {}\n\nclass Network")))
    fault(subject, "devices")
    assert subject.target.forward.__globals__["CACHE"] == {}
