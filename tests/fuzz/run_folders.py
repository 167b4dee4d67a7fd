"""Folders of runs: damaged by crashes, mixed up by their users, or received from others."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

import stylekit
from stylekit import images
from tests.fuzz.cases import ENDS, Case, Kind
from tests.fuzz.containers import CONTROL, deep
from tests.fuzz.damage import damaged, place
from tests.fuzz.judge import CLEAR, RIGHT, Bad, ClearError, Result, require_clear_result
from tests.fuzz.material import NETWORKS, STEPS
from tests.fuzz.pictures import require_image, some_image

kind = Kind("run_folders", 200, seconds=2 * ENDS)
Change = Callable[[Any], Any]
NEW = ("train", "--plugin", "cyclegan", "--size", 32, "--steps", 1, "--workers", 0, "--device", "cpu")
SMALL = [f"--set={key}={json.dumps(value)}" for key, value in NETWORKS.items()]


def stopped(case: Case) -> Path:
    """A run that was stopped one step before its end."""
    return case.material.stopped_run(case.folder / "received")


def resume(case: Case, folder: Path, same: bool = True) -> None:
    """Resumes the run. It ends as if nothing had happened, or an error says why not, and nothing is removed.

    Args:
        case: the case
        folder: the run's folder
        same: whether it must end with the weights of the run that was never stopped
    """
    case.mentions = case.mentions or (folder.name, "run.json", "state.json", "metrics.jsonl")
    before = {path for path in folder.rglob("*") if ".part" not in path.name}
    try:
        case.program("train", "--resume", "--out", folder, "--steps", STEPS, "--device", "cpu", "--workers", 0)
    except ClearError:
        if lost := [path for path in before if not os.path.lexists(path)]:
            raise Bad(f"an error, and {lost[0].relative_to(folder)} is lost") from None
        raise
    if same:
        require_same_weights(folder, case.material.run)
    require_image(stylekit.load(folder, "cpu").stylize(images.read(case.material.photo).image))


def require_same_weights(folder: Path, other: Path) -> None:
    """Checks that two runs ended with the same weights and the same state, bit by bit.

    Raises:
        Bad: they did not.
    """
    files = ("model.safetensors", *(f"checkpoints/{STEPS}/{name}.safetensors" for name in ("method", "players")))
    for name in files:
        if not same_tensors(folder / name, other / name):
            raise Bad(f"{name} differs from that of the run that was never stopped")


def same_tensors(one: Path, other: Path) -> bool:
    """Whether two files have the same tensors, bit by bit."""
    ours, theirs = load_file(one), load_file(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def change_json(path: Path, change: Change) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def somewhere(value: Any, case: Case, new: Any) -> Any:
    """The JSON value with something in it, at any depth, replaced."""
    if isinstance(value, dict | list) and value and case.random.random() < 0.85:
        key: Any = case.random.choice(list(value)) if isinstance(value, dict) else case.random.randrange(len(value))
        value[key] = somewhere(value[key], case, new)
        return value
    return new


ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2.5,
    1000,
    10**9,
    2**70,
    1e308,
    float("nan"),
    float("inf"),
    -float("inf"),
    "",
    "x",
    "²",
    "x" * 100_000,
    [],
    {},
    [None],
    {"": None},
    {"tensor": "x"},
    {"tuple": None},
    {"pairs": [[1]]},
    {"pairs": None},
    *CONTROL,
)
DOCUMENTS = (
    "",
    "null",
    "[]",
    "7",
    '"x"',
    "{",
    "{}",
    "NaN",
    deep(),
    deep(form="{}"),
    '{"a":1}' * 2,
    "\0",
    "\ufeff{}",
    " " * 10**6,
)


# Whole runs


@kind.often(3)
def stopped_or_moved(case: Case) -> None:
    """A run that was stopped, copied to another place or renamed ends exactly as the others."""
    case.expected = RIGHT
    folder = stopped(case)
    if case.random.random() < 0.6:
        folder = folder.rename(
            case.folder / case.random.choice(("moved", "a b", "ü", "[red]", "line\nbreak", "-x", "x" * 200))
        )
    resume(case, folder)


@kind
def leftovers_of_a_crash(case: Case) -> None:
    """What a killed process leaves behind is removed, or does no harm."""
    case.expected = RIGHT
    folder = stopped(case)
    (folder / ".model.safetensors.0123abcd.part").write_bytes(b"half")
    half = folder / "checkpoints" / ".3.0123abcd.part"
    half.mkdir()
    (half / "method.safetensors").write_bytes(b"half")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "transl')
    resume(case, folder)
    for path in (folder / ".model.safetensors.0123abcd.part", half):
        if path.exists():  # of an earlier version: not ours to judge
            shutil.rmtree(path) if path.is_dir() else path.unlink()


# Damage


@kind.often(7)
def damaged_file(case: Case) -> None:
    folder = stopped(case)
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in (".json", ".jsonl", ".safetensors")
    ]
    path = case.random.choice([each for each in files if each.parent.name != "1"])
    path.write_bytes(damaged(path.read_bytes(), case.random))
    case.mentions = (path.name, folder.name)
    resume(case, folder, same=path.name in ("metrics.jsonl", "model.safetensors"))


@kind.often(2)
def missing_file(case: Case) -> None:
    folder = stopped(case)
    path = case.random.choice(sorted(folder.rglob("*")))
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    resume(case, folder)


@kind.often(2)
def odd_kind_of_file(case: Case) -> None:
    """A file of the run is a pipe, a loop, a folder, or endless."""
    folder = stopped(case)
    names = (
        "run.json",
        "metrics.jsonl",
        "checkpoints/2/state.json",
        "checkpoints/2/method.safetensors",
        "checkpoints/2",
        "checkpoints",
    )
    path = folder / case.random.choice(names)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    form = case.random.choice(("pipe", "loop", "folder", "zero", "empty"))
    place(path, form, {"empty": b""})
    resume(case, folder)


@kind.often(3)
def odd_document(case: Case) -> None:
    """A file is valid text, but not what it should be."""
    folder = stopped(case)
    path = folder / case.random.choice(("run.json", "run.json", "metrics.jsonl", "checkpoints/2/state.json"))
    path.write_text(case.random.choice(DOCUMENTS))
    resume(case, folder, same=False)


@kind.often(7)
def odd_setting(case: Case) -> None:
    folder, value = stopped(case), case.random.choice(ODD)

    def change(content: Any) -> Any:
        key = case.random.choice(list(content["settings"]))
        content["settings"][key], case.tried = value, f"{key}={value!r:.80}"
        case.mentions = (key, key.replace("_", "-"), "run.json", folder.name, *(["plugin"] if key == "log" else []))
        return content

    change_json(folder / "run.json", change)
    resume(case, folder, same=False)


@kind.often(4)
def odd_run_json(case: Case) -> None:
    folder, value = stopped(case), case.random.choice(ODD)
    change_json(folder / "run.json", lambda content: somewhere(content, case, value))
    resume(case, folder, same=False)


@kind.often(2)
def absurd_demand(case: Case) -> None:
    """A run that asks for thousands of processes, or batches and images of gigabytes."""
    case.expected = CLEAR
    folder = stopped(case)
    key, value = case.random.choice(
        (
            ("devices", 1000),
            ("devices", 10**6),
            ("batch_size", 10**9),
            ("batch_size", 10**7),
            ("size", 10**6),
            ("devices", 8),
        )
    )
    case.tried = f"{key}={value}"
    case.mentions = ("--devices", "--batch-size", "--size", "run.json")
    change_json(folder / "run.json", lambda content: {**content, "settings": {**content["settings"], key: value}})
    resume(case, folder, same=False)


@kind.often(5)
def odd_state(case: Case) -> None:
    folder, value = stopped(case), case.random.choice(ODD)
    path = folder / "checkpoints" / "2" / "state.json"
    if case.random.random() < 0.4:
        change_json(path, lambda content: {**content, case.random.choice(list(content)): value})
    else:
        change_json(path, lambda content: somewhere(content, case, value))
    resume(case, folder, same=False)


@kind.often(2)
def odd_metrics(case: Case) -> None:
    """Lines of the log are of other types, huge, or missing: weights do not depend on them."""
    folder = stopped(case)
    odd = (
        '{"step": 2, "a/b": "x"}',
        '{"step": 2, "a/b": NaN}',
        '{"step": 2, "a/b": [1]}',
        '{"step": 1e999}',
        '{"step": "2"}',
    )
    line = case.random.choice(
        (*odd, "null", "[]", "7", "{}", '{"step": null}', '{"step": -1}', deep(), CONTROL[0], "\ufffd", "")
    )
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines()
    lines.insert(case.random.randrange(len(lines) + 1), line)
    path.write_text("\n".join(lines) + "\n")
    resume(case, folder)


@kind.often(3)
def odd_checkpoint(case: Case) -> None:
    """Other files and folders in ``checkpoints`` are skipped or named, but never removed."""
    folder = stopped(case)
    name = case.random.choice(("²", "-1", "1e3", "03", "10" * 20, "2 ", "9", "thesis", "٣", "0", "2.bak", ".hidden"))
    odd = folder / "checkpoints" / name
    form = case.random.choice(("folder", "file", "copy", "link", "broken"))
    if form == "folder":
        odd.mkdir()
        (odd / "thesis.txt").write_text("years of work")
        case.keep(odd / "thesis.txt")
    elif form == "file":
        odd.write_text("years of work")
        case.keep(odd)
    elif form == "copy":
        shutil.copytree(folder / "checkpoints" / "1", odd)
    else:
        odd.symlink_to("1" if form == "link" else "nowhere")
    resume(case, folder, same=form != "copy")


@kind.often(2)
def checkpoint_of_another_run(case: Case) -> None:
    """A checkpoint of a run with another seed never counts as one of this run."""
    folder = stopped(case)
    source = case.material.other_run / "checkpoints" / "2"
    target = folder / "checkpoints" / case.random.choice(("2", "9"))
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    resume(case, folder)


# What is the user's


@kind.often(4)
def users_own_files(case: Case) -> None:
    """A new run into a folder that has other files: refused, and all of them stay."""
    case.expected = CLEAR
    folder = case.folder / "mine"
    for name in case.random.sample(
        (
            "thesis.txt",
            "checkpoints/1/thesis.txt",
            "model.safetensors",
            "losses.png",
            "samples/0000001.png",
            "metrics.jsonl",
            "1/2/3",
        ),
        2,
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("years of work")
    case.keep(folder)
    case.mentions = ("mine",)
    case.program(*NEW, *SMALL, "--out", folder)


@kind
def begun_anew(case: Case) -> None:
    """Without its run.json, the folder is no run, and no new one may go on from its weights."""
    case.expected = CLEAR
    folder = stopped(case)
    (folder / "run.json").unlink()
    case.keep(folder)
    case.mentions = ("received",)
    case.program(*NEW, *SMALL, "--seed", 1, "--out", folder)


@kind.often(2)
def below_its_own_content(case: Case) -> None:
    """A run in the folder of its images would train on its own sheets."""
    case.expected = CLEAR
    photos = case.folder / "photos"
    photos.mkdir()
    for number in range(2):
        some_image(case).save(photos / f"{number}.png")
    (case.folder / "link").symlink_to(photos)
    out = case.random.choice(
        (photos / "run", photos, case.folder / "link" / "run", photos / ".." / "photos" / "a" / "run")
    )
    case.keep(photos)
    case.mentions = ("photos", "link", "--out")
    case.program(*NEW, *SMALL, "--content", photos, "--style", photos, "--out", out)


@kind.often(3)
def moved_or_other_data(case: Case) -> None:
    """The same images in another place: the run ends the same. Others: refused."""
    photos = case.folder / "photos"
    photos.mkdir()
    for number in range(3):
        some_image(case).save(photos / f"{number}.png")
    run, elsewhere = case.folder / "received", case.folder / "elsewhere"
    data = ("--content", photos, "--style", photos)
    case.program(*NEW, *SMALL, *data, "--out", run)
    photos.rename(elsewhere)
    change = case.random.choice(("", "added", "removed", "larger"))
    if change == "added":
        some_image(case).save(elsewhere / "9.png")
    elif change == "removed":
        (elsewhere / "1.png").unlink()
    elif change == "larger":
        some_image(case).resize((99, 98)).save(elsewhere / "1.png")
    case.expected = CLEAR if change else RIGHT
    data = ("--content", elsewhere, "--style", elsewhere)
    case.program("train", "--resume", "--out", run, *data, "--steps", 2, "--device", "cpu", "--workers", 0)


@kind.often(3)
def received_code(case: Case) -> None:
    """A received run that names code runs none of it."""
    folder = stopped(case)
    evil = case.random.choice((folder, case.folder)) / "evil.py"
    evil.write_text(f"import pathlib; pathlib.Path({str(case.marker)!r}).touch()\n")
    key, value = case.random.choice(
        (
            ("plugin", [str(evil)]),
            ("plugin", ["cyclegan", str(evil)]),
            ("plugin", [f"{evil}:cyclegan"]),
            ("plugin", ["received/evil.py"]),
            ("log", [str(evil)]),
            ("log", ["evil.py"]),
            ("init", str(evil)),
            ("data", {"name": str(evil)}),
            ("data", str(evil)),
            ("set", {"generator": str(evil)}),
            ("preset", str(evil)),
        )
    )
    case.tried = f"{key}={value}"
    change_json(folder / "run.json", lambda content: {**content, "settings": {**content["settings"], key: value}})
    case.mentions = ("evil", "received")
    resume(case, folder, same=False)


@kind.often(2)
def two_at_once(case: Case) -> None:
    """Two trainings, or two resumes, in one folder: one of them runs, and the other says why it does not."""
    if case.random.random() < 0.5:
        folder = case.folder / "received"
        line = [*NEW, *SMALL, "--out", folder, "--steps", 12]
    else:
        folder = stopped(case)
        line = ["train", "--resume", "--out", folder, "--steps", 12, "--device", "cpu"]
    command = [sys.executable, "-m", "stylekit", *map(str, line)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    results = []
    for process in both:
        out, err = process.communicate(timeout=ENDS)
        results.append(Result(process.returncode, out, err.decode()))
    codes = sorted(result.code for result in results)
    if codes != [0, 2]:
        raise Bad(f"two runs in one folder ended with {codes}: {[result.err[-300:] for result in results]}")
    for result in results:
        if result.code:
            require_clear_result(result, ("received",))
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    if steps != list(range(1, 13)):
        raise Bad(f"the log of two runs in one folder has the steps {steps[:50]}")


# The model of a run


@kind.often(2)
def model_of_a_damaged_run(case: Case) -> None:
    """Stylising needs the model only; it does not run or open anything else."""
    folder = stopped(case)
    for path in case.random.sample(sorted(path for path in folder.rglob("*") if path.is_file()), 4):
        path.write_bytes(damaged(path.read_bytes(), case.random))
    case.mentions = (folder.name,)
    case.every(
        lambda: require_image(
            case.measured(stylekit.load, folder, "cpu").stylize(images.read(case.material.photo).image)
        ),
        lambda: case.program(
            "stylize", case.material.photo, "-o", case.folder / "out.png", "--model", folder, "--device", "cpu"
        ),
    )
