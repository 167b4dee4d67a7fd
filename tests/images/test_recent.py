"""The cache of what was computed last."""

from __future__ import annotations

from stylekit.images.recent import Recent


def test_the_latest_values_are_kept_and_what_is_dropped_needs_no_space() -> None:
    computed: list[int] = []

    def get(key: int) -> int:
        def compute() -> int:
            computed.append(key)
            return key

        return recent.get(key, compute)

    recent: Recent[int] = Recent(5, lambda value: value)
    assert recent.find(1) is None
    assert [get(key) for key in (1, 2, 1)] == [1, 2, 1]
    assert computed == [1, 2]
    assert recent.find(1) == 1
    recent.drop(1)
    recent.drop(1)
    get(3)  # fits beside 2, as 1 is gone
    get(2)
    assert computed == [1, 2, 3]
    get(1)  # does not, and 3 has not been used for longest
    get(2)
    get(3)
    assert computed == [1, 2, 3, 1, 3]
