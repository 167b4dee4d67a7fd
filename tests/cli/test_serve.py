"""``stylekit serve``: the HTTP interface, its limits, and the page in a browser."""

from __future__ import annotations

import base64
import io
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stylekit import StylekitError, images
from stylekit.inference.model_file import ModelFile
from stylekit.registry import lookup
from stylekit_plugins.datasets.scenes import render
from tests.browser import headless
from tests.cli.conftest import Program

for module in ("onnxruntime", "fastapi", "uvicorn", "python_multipart", "httpx"):
    pytest.importorskip(module, reason=f"the service needs {module}")

import httpx  # noqa: E402
from starlette.testclient import TestClient  # noqa: E402

from stylekit.cli.concurrency import ExportedConcurrency  # noqa: E402
from stylekit.cli.serving.app import create_app  # noqa: E402
from stylekit.cli.serving.limits import Limits  # noqa: E402
from stylekit.cli.serving.worker import Gallery, Models, Worker  # noqa: E402
from stylekit.inference.exported.model import ExportedModel  # noqa: E402


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo of 60 x 48 pixels, and a gallery of two paintings."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "gallery").mkdir()
    images.write(folder / "photo.png", render(1, "photo", 60)[None, :, :48])
    for number in range(2):
        images.write(folder / "gallery" / f"painting {number}.png", render(7 + number, "strokes", 64)[None])
    (folder / "gallery" / "notes.txt").write_text("no style")
    return folder


@pytest.fixture(scope="module")
def model() -> ExportedModel:
    factory = lookup.find_part("model", "stylekit-any")
    assert isinstance(factory, ModelFile)
    return ExportedModel(factory.exported)


def service(
    model: Any, place: Path, token: str = "", pixels: float = 1e6, others: Mapping[str, Any] = {}, **limits: Any
) -> TestClient:
    """A client of a service with a model, and others by name; one that is an error cannot be loaded."""
    gallery, known = Gallery.of(place / "gallery"), {"stylekit-any": model, **others}

    def load(name: str) -> Worker:
        if isinstance(known[name], Exception):
            raise known[name]
        return Worker(known[name], ExportedConcurrency(known[name], 2), gallery, int(pixels))

    models = Models([*known], load)
    models.find().result()
    return TestClient(create_app(models, gallery, Limits(**limits), token), "http://127.0.0.1")


@pytest.fixture
def client(model: ExportedModel, place: Path) -> TestClient:
    return service(model, place)


def photo(place: Path) -> bytes:
    return (place / "photo.png").read_bytes()


def pixels(data: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def test_a_form_gets_the_picture_that_the_command_line_makes(
    client: TestClient, program: Program, place: Path, tmp_path: Path
) -> None:
    style, out = place / "gallery" / "painting 0.png", tmp_path / "out.png"
    line = [
        "stylize",
        place / "photo.png",
        "--style",
        style,
        "--strength",
        "0.7",
        "--keep-color",
        "luminance",
        "-o",
        out,
    ]
    assert program(*line, "--engine", "onnxruntime").code == 0
    form = {"strength": "0.7", "keep_color": "luminance"}
    answer = client.post("/stylize", data=form, files={"content": photo(place), "style": style.read_bytes()})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert np.abs(pixels(answer.content) - pixels(out.read_bytes())).max() <= 1
    assert answer.headers["cache-control"] == "no-store"


def test_json_and_names_of_the_gallery_do_the_same_as_a_form(client: TestClient, place: Path) -> None:
    names = ["painting 0.png", "painting 1.png"]
    form = {"style": names, "weight": ["1", "0.25"], "max_size": "30"}
    one = client.post("/stylize", data=form, files={"content": photo(place)})
    encoded = base64.b64encode((place / "gallery" / names[1]).read_bytes()).decode()
    styles = [{"name": names[0]}, {"image": encoded, "weight": 0.25}]
    body = {"content": base64.b64encode(photo(place)).decode(), "styles": styles, "max_size": 30}
    other = client.post("/stylize", json=body)
    assert (one.status_code, other.status_code) == (200, 200)
    assert pixels(one.content).shape == (24, 30, 3)
    assert np.array_equal(pixels(one.content), pixels(other.content))


def test_a_mask_leaves_the_rest_as_it_is(client: TestClient, place: Path) -> None:
    mask = io.BytesIO()
    Image.fromarray(np.repeat([[0] * 30 + [255] * 30], 48, 0).astype(np.uint8)).save(mask, "PNG")
    files = {"content": photo(place), "mask": mask.getvalue()}
    answer = client.post("/stylize", data={"style": "painting 0.png"}, files=files)
    change = np.abs(pixels(answer.content) - pixels(photo(place))).max((0, 2))
    assert not change[:30].any()
    assert change[30:].min() > 0


def test_a_mask_has_the_blend_of_all_styles(client: TestClient, place: Path) -> None:
    white = io.BytesIO()
    Image.new("L", (60, 48), 255).save(white, "PNG")
    form = {"style": ["painting 0.png", "painting 1.png"], "weight": ["0.5", "0.25"]}
    plain = client.post("/stylize", data=form, files={"content": photo(place)})
    masked = client.post("/stylize", data=form, files={"content": photo(place), "mask": white.getvalue()})
    assert (plain.status_code, masked.status_code) == (200, 200)
    assert np.abs(pixels(plain.content) - pixels(masked.content)).max() <= 1


def test_what_the_service_is_and_has(client: TestClient, place: Path) -> None:
    assert client.get("/health").json() == {
        "status": "ok",
        "model": "stylekit-any",
        "method": "any-style",
        "models": [{"name": "stylekit-any", "loaded": True, "needs_style": True}],
        "requests": 0,
        "limit": 128,
    }
    names = [{"name": f"painting {number}.png", "kind": "image"} for number in range(2)]
    assert client.get("/styles").json() == names
    thumbnail = client.get("/styles/painting 1.png")
    assert (thumbnail.status_code, pixels(thumbnail.content).shape) == (200, (64, 64, 3))
    schema = client.get("/openapi.json").json()["paths"]["/stylize"]["post"]
    assert {*schema["requestBody"]["content"]} == {"multipart/form-data", "application/json"}
    assert {"200", "400", "413", "429", "504"} <= schema["responses"].keys()


class Inverting:
    """A model that turns pictures into their negatives, and has learned one style."""

    name, arrays, on_step = "inverting", True, None

    def learned_styles(self) -> list[str]:
        return ["night"]

    def resolve_styles(self, styles: Any) -> None:
        pass

    def require_memory(self, *given: Any) -> None:
        pass

    def stylize_picture(self, picture: Any, *given: Any, **options: Any) -> Any:
        return replace(picture, image=1 - picture.image, stored=None)


def test_a_request_chooses_a_model_which_is_loaded_then(model: ExportedModel, place: Path) -> None:
    client = service(model, place, others={"runs/negative": Inverting()})
    first = {"name": "stylekit-any", "loaded": True, "needs_style": True}
    second = {"name": "runs/negative", "loaded": False}
    assert client.get("/health").json()["models"] == [first, second]
    original, files = pixels(photo(place)), {"content": photo(place)}
    negative = client.post("/stylize", data={"model": "runs/negative"}, files=files)
    assert np.array_equal(pixels(negative.content), 255 - original)
    body = {"content": base64.b64encode(photo(place)).decode(), "model": "runs/negative"}
    assert client.post("/stylize", json=body).content == negative.content
    assert client.get("/health").json()["models"] == [first, {**second, "loaded": True, "needs_style": False}]
    form = {"style": "painting 0.png"}
    default = client.post("/stylize", data=form, files=files)
    assert client.post("/stylize", data={**form, "model": "stylekit-any"}, files=files).content == default.content
    assert default.content != negative.content


def test_the_styles_are_those_of_the_chosen_model(model: ExportedModel, place: Path) -> None:
    client = service(model, place, others={"runs/negative": Inverting()})
    known = client.get("/styles", params={"model": "runs/negative"}).json()
    assert known[2:] == [{"name": "night", "kind": "learned", "model": "runs/negative"}]
    assert client.get("/styles").json() == known[:2]


def test_a_model_that_is_not_there_or_cannot_be_loaded_is_one_sentence(model: ExportedModel, place: Path) -> None:
    client, files = (
        service(model, place, others={"broken": StylekitError("broken is damaged.")}),
        {"content": photo(place)},
    )
    for name, sentence in (
        ("broken", "broken is damaged."),
        ("brokn", "There is no model 'brokn' here. Did you mean 'broken'?"),
    ):
        for answer in (
            client.post("/stylize", data={"model": name}, files=files),
            client.get("/styles", params={"model": name}),
        ):
            assert answer.status_code == 400
            assert answer.json()["error"].startswith(sentence)
    assert client.get("/health").json()["requests"] == 0
    assert client.get("/health").json()["models"][1] == {"name": "broken", "loaded": False}


def test_another_attempt_is_made_to_load_a_model(place: Path) -> None:
    attempts: list[str] = []

    def load(name: str) -> Worker:
        attempts.append(name)
        if len(attempts) == 1:
            raise StylekitError("The disk is away.")
        return Worker(Inverting(), ExportedConcurrency(Inverting(), 1), Gallery(), 100)

    models = Models(["one", "one"], load)
    assert models.names == ["one"]
    with pytest.raises(StylekitError, match="away"):
        models.find().result()
    worker = models.find("one").result()
    assert models.find().result() is worker
    assert attempts == ["one", "one"]
    models.close()


def test_the_page_offers_every_model(model: ExportedModel, place: Path) -> None:
    page = service(model, place, others={"runs/<b>": Inverting()}).get("/").text
    assert "<option>stylekit-any</option><option>runs/&lt;b&gt;</option></select>" in page


def test_models_are_looked_for_before_the_service_starts(program: Program) -> None:
    line = ["serve", "--port", 0, "--model", "stylekit-any", "--model", "nowhere"]
    assert program(*line).error.startswith("There is no model nowhere: ")


def test_the_page_refers_to_nothing_else(client: TestClient) -> None:
    answer = client.get("/")
    assert "http:" not in answer.text
    assert "https:" not in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    nonce = policy.partition("script-src 'nonce-")[2].partition("'")[0]
    assert f'<script nonce="{nonce}">' in answer.text
    assert nonce not in client.get("/").text


@pytest.mark.parametrize(
    ("form", "files", "status", "sentence"),
    [
        ({}, {}, 400, "content"),
        ({}, {"content": b"no picture"}, 400, "content cannot be read"),
        ({"style": "nothing.png"}, {}, 400, "There is no style 'nothing.png' in the gallery."),
        ({"style": "../photo.png"}, {}, 400, "There is no style '../photo.png' in the gallery."),
        ({"style": "notes.txt"}, {}, 400, "There is no style 'notes.txt' in the gallery."),
        ({}, {"style": b"no picture"}, 400, "style-1 cannot be read"),
        ({"style": "painting 0.png", "strength": "2"}, {}, 400, "The strength must be a number from 0"),
        ({"style": "painting 0.png", "strength": "nan"}, {}, 400, "'strength' must be a number, not 'nan'."),
        ({"style": "painting 0.png", "keep_color": "blue"}, {}, 400, "Unknown keep_color 'blue'."),
        ({"style": "painting 0.png", "format": "exe"}, {}, 400, "The format must be one of png, jpg, webp"),
        ({"style": "painting 0.png", "weight": ["1", "2"]}, {}, 400, "There are 1 styles, but 2 weights."),
        ({}, None, 400, "needs a style"),
    ],
    ids=str,
)
def test_what_cannot_be_stylised_is_one_sentence(
    client: TestClient, place: Path, form: Any, files: Any, status: int, sentence: str
) -> None:
    sent = {"content": photo(place), **files} if files or form else {"content": photo(place)}
    if files == {} and not form:
        sent = {"mask": photo(place)}
    answer = client.post("/stylize", data=form, files=sent)
    assert answer.status_code == status
    assert answer.json().keys() == {"error"}
    assert sentence in answer.json()["error"]
    assert "/tmp" not in answer.json()["error"]


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("text/plain", b"hello", 415),
        ("application/json", b"[1]", 400),
        ("application/json", b"{", 400),
        ("application/json", b'{"content": "?"}', 400),
        ("application/json", b'{"content": "", "styles": 3}', 400),
        ("application/json", b"[" * 100_000, 400),
        ("application/json", b'{"content": "", "styles": ["a"]}', 400),
        ("application/json", b'{"content": "", "styles": {"a": 1}}', 400),
        ("application/json", b'{"content": "", "styles": null}', 400),
        ("application/json", b'{"content": "", "strength": 1' + b"0" * 400 + b"}", 400),
        ("application/json", b'{"content": "", "format": ["png"]}', 400),
        ("application/json", b'{"content": "", "max_size": 0.5}', 400),
        ("application/json", b'{"content": "", "model": ["stylekit-any"]}', 400),
        ("application/json", b'{"content": "", "styles": [' + b'{"name": "a"},' * 16 + b'{"name": "a"}]}', 400),
        ("multipart/form-data", b"hello", 400),
        ("multipart/form-data; boundary=x", b"--x\r\nnonsense", 400),
    ],
)
def test_other_requests_are_refused(client: TestClient, kind: str, body: bytes, status: int) -> None:
    answer = client.post("/stylize", content=body, headers={"content-type": kind})
    assert answer.status_code == status
    assert answer.json().keys() == {"error"}


def test_large_requests_and_pictures_are_refused(model: ExportedModel, place: Path) -> None:
    files = {"content": photo(place)}
    small = service(model, place, bytes=1000)
    announced = small.post("/stylize", data={"style": "painting 0.png"}, files={"content": b"0" * 2000})
    assert (announced.status_code, "0.001 MB" in announced.json()["error"]) == (413, True)

    def parts() -> Iterator[bytes]:
        for _ in range(4):
            yield b"0" * 500

    unannounced = small.post("/stylize", content=parts(), headers={"content-type": "application/json"})
    assert unannounced.status_code == 413
    narrow = service(model, place, pixels=1000).post("/stylize", data={"style": "painting 0.png"}, files=files)
    assert narrow.status_code == 413
    assert "content has 60x48 pixels, but at most 0.001 million are accepted" in narrow.json()["error"]


class Slow:
    """A model that waits."""

    name, arrays, on_step = "slow", True, None

    def __init__(self) -> None:
        self.go = threading.Event()

    def learned_styles(self) -> list[str]:
        return []

    def resolve_styles(self, styles: Any) -> None:
        pass

    def require_memory(self, *given: Any) -> None:
        pass

    def stylize_picture(self, picture: Any, *given: Any, **options: Any) -> Any:
        self.go.wait(20)
        return picture


def test_a_long_queue_and_a_long_time_are_refused(place: Path) -> None:
    slow = Slow()
    client = service(slow, place, queue=2, seconds=0.5)
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(client.post, "/stylize", files={"content": photo(place)}) for _ in range(2)]
        deadline = time.monotonic() + 10
        while client.get("/health").json()["requests"] < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        third = client.post("/stylize", files={"content": photo(place)})
        assert (third.status_code, third.headers["retry-after"]) == (429, "1")
        assert [answer.result().status_code for answer in answers] == [504, 504]
        assert "0.5 seconds" in answers[0].result().json()["error"]
        assert client.get("/health").json()["requests"] == 2  # which run, and cannot be stopped
        assert client.post("/stylize", files={"content": photo(place)}).status_code == 429
        slow.go.set()
    deadline = time.monotonic() + 10
    while client.get("/health").json()["requests"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert client.post("/stylize", files={"content": photo(place)}).status_code == 200


def test_requests_that_hold_too_much_together_are_refused(model: ExportedModel, place: Path) -> None:
    client = service(model, place, held=1000)
    answer = client.post("/stylize", data={"style": "painting 0.png"}, files={"content": photo(place)})
    assert (answer.status_code, "memory" in answer.json()["error"]) == (429, True)
    assert client.get("/health").json()["requests"] == 0


def test_unknown_addresses_are_answered_in_json(client: TestClient) -> None:
    assert client.get("/nope").json() == {"error": "GET /nope: Not Found."}
    assert client.delete("/stylize").json() == {"error": "DELETE /stylize: Method Not Allowed."}


def test_other_pages_and_names_are_not_answered(client: TestClient, place: Path) -> None:
    files, form = {"content": photo(place)}, {"style": "painting 0.png"}
    same = client.post("/stylize", data=form, files=files, headers={"origin": "http://127.0.0.1"})
    other = client.post("/stylize", data=form, files=files, headers={"origin": "http://evil.example"})
    assert (same.status_code, other.status_code) == (200, 403)


def test_a_token_is_required_where_there_is_one(model: ExportedModel, place: Path) -> None:
    client = service(model, place, token="secret")
    assert client.get("/health").status_code == 401
    assert client.get("/health", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/health", headers={"authorization": "Bearer secret"}).status_code == 200
    assert client.get("/", params={"token": "secret"}).status_code == 200
    assert client.get("/health").status_code == 200  # by the cookie


def test_a_port_that_is_taken_is_one_sentence(program: Program, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port} cannot be listened on" in program("serve", "--port", port).error
    assert "--token" in program("serve", "--token", "p&b c#d").error
    assert program("serve", "--styles", tmp_path / "nowhere").error == f"There is no folder {tmp_path / 'nowhere'}."


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[tuple[str, int]]:
    """The address of a running service, and the number of its process."""
    models = ["--model", "stylekit-any", "--model", "color-pca"]
    command = [sys.executable, "-m", "stylekit", "serve", "--styles", place / "gallery", "--port", "0", *models]
    process = subprocess.Popen([str(each) for each in command], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with process.stderr:
        yield process.stderr.readline().split()[1], process.pid
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)


@pytest.mark.long
def test_a_hundred_clients_at_once_and_memory_that_stays(server: tuple[str, int], place: Path) -> None:
    form, data, (address, pid) = {"style": "painting 0.png"}, photo(place), server

    def ask(number: int) -> int:
        return httpx.post(f"{address}stylize", data=form, files={"content": data}, timeout=60).status_code

    def memory() -> int:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    with ThreadPoolExecutor(100) as pool:
        assert [*pool.map(ask, range(100))] == [200] * 100
        before = memory()
        assert [*pool.map(ask, range(400))] == [200] * 400
    assert memory() < before + 30_000


@pytest.mark.slow
def test_the_page_stylises_slides_and_downloads(server: tuple[str, int], place: Path, tmp_path: Path) -> None:
    with headless(tmp_path) as browser:
        from selenium.webdriver import ActionChains

        browser.get(server[0])
        browser.find_element("id", "photo").send_keys(str(place / "photo.png"))

        def wait(condition: str) -> None:
            deadline = time.monotonic() + 20
            while not browser.execute_script(f"return Boolean({condition})"):
                assert time.monotonic() < deadline, condition
                time.sleep(0.05)

        wait("document.querySelectorAll('#gallery button').length === 2")
        browser.find_elements("css selector", "#gallery button")[0].click()
        wait("document.body.dataset.previews >= 1")
        stage = browser.find_element("id", "stage")
        actions = ActionChains(browser)
        actions.move_to_element(stage).click_and_hold().move_by_offset(
            int(stage.size["width"] * 0.3), 0
        ).release().perform()
        assert browser.execute_script("return document.getElementById('stage').dataset.split") == "0.80"
        browser.find_element("id", "paint").click()
        ActionChains(browser).move_to_element(stage).click_and_hold().move_by_offset(40, 20).release().perform()
        wait("document.body.dataset.previews >= 2")
        shown = browser.find_element("id", "command").text
        assert shown == "stylekit stylize photo.png --style 'painting 0.png' --mask mask.png -o styled.png"
        browser.find_element("id", "clear-mask").click()
        wait("document.body.dataset.previews >= 3")
        browser.find_element("id", "download").click()
        wait("document.getElementById('status').textContent.includes('MB in')")
        deadline = time.monotonic() + 10
        while not (tmp_path / "photo-styled.png").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        form = {"style": "painting 0.png"}
        expected = httpx.post(f"{server[0]}stylize", data=form, files={"content": photo(place)}, timeout=60)
        assert np.abs(pixels((tmp_path / "photo-styled.png").read_bytes()) - pixels(expected.content)).max() <= 1


@pytest.mark.slow
def test_the_page_offers_several_models(server: tuple[str, int], place: Path, tmp_path: Path) -> None:
    with headless(tmp_path) as browser:
        from selenium.webdriver.support.ui import Select, WebDriverWait

        browser.get(server[0])
        browser.find_element("id", "photo").send_keys(str(place / "photo.png"))

        def wait(condition: str) -> None:
            WebDriverWait(browser, 30).until(lambda page: page.execute_script(f"return Boolean({condition})"))

        wait("document.querySelectorAll('#gallery button').length === 2")
        models = Select(browser.find_element("id", "model"))
        assert [each.text for each in models.options] == ["stylekit-any", "color-pca"]
        models.select_by_visible_text("color-pca")
        wait("document.querySelectorAll('#gallery button').length === 2")
        wait("!document.getElementById('status').textContent.includes('loading')")
        browser.find_elements("css selector", "#gallery button")[0].click()
        wait("document.body.dataset.previews >= 1")
        assert "--model color-pca" in browser.find_element("id", "command").text
    loaded = {each["name"]: each["loaded"] for each in httpx.get(f"{server[0]}health").json()["models"]}
    assert loaded == {"stylekit-any": True, "color-pca": True}
