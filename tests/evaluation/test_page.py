"""The report: its files, and the page in a browser, where there is one."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from stylekit.evaluation import Inputs, evaluate, write_report
from tests.browser import headless
from tests.evaluation.conftest import Changed, Difference, Plain

COMMAND = "stylekit evaluate dark light --content 'my photos' -o report"
HOSTILE = "</script><img src=x onerror=alert(1)>.png"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inputs = Inputs(Plain({HOSTILE: 0.2, "b.png": 0.4}), Plain({"x.png": 0.6, "y.png": 0.8}))
    dark = Changed("dark", inputs, lambda content, style: content * 0)
    light = Changed("light", inputs, lambda content, style: content * 0 + 1)
    result = evaluate([dark, light], inputs, [Difference])
    lines = [{"step": float(step), "generator/loss": 1 / step} for step in range(1, 201)]
    write_report(result, tmp_path / "report", COMMAND, {"dark": lines}, {"dark": {"parameters": 5}})
    return tmp_path / "report"


def test_the_numbers_are_in_a_file_for_programs(folder: Path) -> None:
    report = json.loads((folder / "report.json").read_text())
    assert (report["format"], report["command"]) == (1, COMMAND)
    assert report["scores"]["difference"]["dark"]["mean"] == pytest.approx(-0.3, abs=1 / 255)
    row = {"content": HOSTILE, "style": "x.png", "value": pytest.approx(0.8)}
    assert report["values"]["difference"]["light"][0] == row
    assert report["cost"] == {"dark": {"parameters": 5}}


def test_the_page_is_one_file_that_refers_to_nothing_else(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    assert "http:" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https:" not in page
    assert "default-src 'none'" in page
    assert HOSTILE not in page


@pytest.fixture
def browser(folder: Path) -> Iterator[Any]:
    """The page, opened in a headless browser."""
    with headless(folder) as driver:
        driver.get((folder / "report.html").as_uri())
        yield driver


@pytest.mark.slow
def test_the_slider_moves_the_edge_between_two_images(browser: Any) -> None:
    """To its left there is the content, which is grey, and to its right the black output."""
    box = browser.find_element("id", "box")

    def colours() -> list[int]:
        shot = Image.open(io.BytesIO(box.screenshot_as_png)).convert("L")
        left, right = (shot.getpixel((int(shot.width * at), shot.height // 2)) for at in (0.3, 0.7))
        assert isinstance(left, int)
        assert isinstance(right, int)
        return [left, right]

    assert colours() == pytest.approx([51, 0], abs=3)
    slider = browser.find_element("id", "slider")
    browser.execute_script("arguments[0].value = 90; arguments[0].dispatchEvent(new Event('input'))", slider)
    assert colours() == pytest.approx([51, 51], abs=3)


@pytest.mark.slow
def test_votes_are_cast_without_names_and_saved(browser: Any, folder: Path) -> None:
    place = browser.find_element("id", "vote")
    assert "dark" not in place.text
    browser.find_element("id", "vote-left").click()
    browser.find_element("id", "vote-tie").click()
    assert browser.find_element("id", "count").text == "2 votes"
    votes = browser.execute_script("return window.votes")
    assert [vote["choice"] for vote in votes] == ["left", "neither"]
    assert {votes[0]["left"], votes[0]["right"]} == {"dark", "light"}
    assert votes[0]["content"] in (HOSTILE, "b.png")
    browser.find_element("id", "export").click()
    deadline = time.monotonic() + 20
    while not (folder / "votes.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert json.loads((folder / "votes.json").read_text()) == {"votes": votes}


@pytest.mark.slow
def test_the_page_shows_every_part_of_the_report(browser: Any) -> None:
    headings = [each.text for each in browser.find_elements("tag name", "h2")]
    assert headings == [
        "Summary", "Before and after", "Outputs", "Best and worst", "Differences", "Vote", "Distributions",
        "Training of dark", "Protocol", "Metrics", "Subjects", "Command",
    ]  # fmt: skip
    rows = [row.text.split()[0] for row in browser.find_elements("css selector", "#summary tbody tr")]
    assert rows == ["dark", "light", "content", "style"]
    assert browser.find_element("id", "command").text == COMMAND
    broken = "return [...document.images].filter(image => image.src && image.complete && !image.naturalWidth).length"
    assert browser.execute_script(broken) == 0
