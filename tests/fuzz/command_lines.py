"""Command lines: whole ones, and ones with missing, repeated, misspelled and absurd words."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.fuzz.cases import HANGS, Case, Kind
from tests.fuzz.containers import CONTROL, deep
from tests.fuzz.judge import CLEAR, RIGHT, Bad, Result, require_printable
from tests.fuzz.material import NETWORKS
from tests.fuzz.pictures import some_image

kind = Kind("command_lines", 250)
ENDLESS = {"--steps", "--count", "-n", "--tune-steps", "--checkpoint-every", "--sample-every", "--workers", "--looks"}
"""Options for which a large number is a wish that takes long, and no mistake."""
ODD = (
    "",
    " ",
    "-1",
    "0",
    "2.5",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "null",
    "true",
    "[]",
    "{}",
    "{",
    "x",
    "²",
    "x" * 5000,
    "a=b",
    "*",
)
ODD += (
    "../nowhere",
    "/dev/null",
    "/dev/full",
    "/proc/self/mem",
    "nowhere",
    ".",
    "photo.png",
    "photos",
    "\ud8ff",
    "[bold]",
    "%s",
    "{x}",
)
LARGE = ("1000000", "99999999999999999999", "-99999999999999999999")


def lines(case: Case) -> list[list[str]]:
    """Command lines that work, and do it quickly."""
    material = case.material
    model = ["--model", str(material.cyclegan), "--device", "cpu"]
    adain = ["--model", str(material.adain), "--device", "cpu"]
    networks = [f"--set={key}={json.dumps(value)}" for key, value in NETWORKS.items()]
    return [
        ["--version"],
        ["--help"],
        ["plugins"],
        ["show", "cyclegan"],
        ["show", "stylekit-any"],
        ["weights", "list"],
        ["stylize", "photo.png", "-o", "out.png", *model],
        ["stylize", "photos", "-o", "out", *model, "--strength", "0.5"],
        ["stylize", "photo.png", "-o", "out.png", *adain, "--style", "painting.png:0.3", "--style", "mine.style:0.7"],
        [
            "stylize",
            "photo.png",
            "-o",
            "out.png",
            *adain,
            "--style",
            "painting.png",
            "--mask",
            "mask.png",
            "--seed",
            "3",
        ],
        ["stylize", "photos", "-o", "out", "--clip", *model],
        ["stylize", "photo.png", "-o", "out.png", "--model", "gatys", "--steps", "2", "--style", "painting.png"],
        ["import", str(material.weights), "--plugin", "cyclegan", "-o", "imported.safetensors"],
        ["new", "my-style"],
        ["check", "lsgan"],
        ["style", "learn", "photos", "-o", "learned.style", *adain],
        ["style", "show", "mine.style", *adain],
        ["data", "draw", "scenes", "drawn", "--count", "2", "--size", "32"],
        ["train", "--plugin", "cyclegan", "--size", "32", "--steps", "1", "--workers", "0", "--out", "run", *networks],
    ]


def prepare(case: Case) -> None:
    """The files that the lines name."""
    for name in ("photo.png", "painting.png", "mask.png"):
        some_image(case).resize((40, 32)).save(name)
    os.mkdir("photos")
    for number in range(2):
        some_image(case).resize((40, 32)).save(f"photos/{number}.png")
    shutil.copy(case.material.style, "mine.style")
    case.keep(*(Path(name).absolute() for name in ("photo.png", "painting.png", "mask.png", "photos", "mine.style")))


def call(case: Case, line: list[str]) -> Result:
    """Calls the program, one in five times as a process of its own."""
    if "\0" in "".join(line) or case.random.random() < 0.8:
        return case.program(*line)
    return case.process(*(os.fsencode(word) for word in line))


@functools.cache
def options() -> dict[str, list[Any]]:
    """The options of each command, as the program declares them."""
    import typer

    from stylekit.cli import program

    found: dict[str, list[Any]] = {}

    def walk(command: Any, name: str) -> None:
        found[name] = [each for each in command.params if each.param_type_name == "option"]
        for child, below in getattr(command, "commands", {}).items():
            walk(below, f"{name} {child}".strip())

    walk(typer.main.get_command(program()), "")
    return found


def command_of(line: list[str]) -> str:
    """The command that a line calls, such as ``style learn``."""
    return next((name for name in (" ".join(line[:2]), line[0]) if name in options()), "")


# Whole lines


@kind.often(3)
def whole_line(case: Case) -> None:
    case.expected = RIGHT
    prepare(case)
    call(case, case.random.choice(lines(case)))


@kind
def help_of_every_command(case: Case) -> None:
    case.expected = RIGHT
    call(case, [*case.random.choice(list(options())).split(), "--help"])


@kind
def reports(case: Case) -> None:
    """Commands that report, as text or as JSON: with the flag, stdout has JSON only."""
    prepare(case)
    line = case.random.choice(
        (["plugins"], ["doctor"], ["show", "cyclegan"], ["weights", "list"], ["data", "check", "photos"])
    )
    if (
        "--json" in [name for option in options()[command_of(line)] for name in option.opts]
        and case.random.random() < 0.7
    ):
        json.loads(call(case, [*line, "--json"]).text)
    else:
        call(case, line)


# Words that are wrong


@kind.often(5)
def odd_value(case: Case) -> None:
    """One value of a whole line is replaced."""
    prepare(case)
    line = case.random.choice([line for line in lines(case) if len(line) > 1])
    place = case.random.randrange(1, len(line))
    values = ODD if line[place - 1] in ENDLESS else (*ODD, *LARGE, *CONTROL)
    line[place] = case.random.choice(values)
    call(case, line)


@kind.often(6)
def odd_option(case: Case) -> None:
    """A whole line gets another option of its command, with some value."""
    prepare(case)
    line = case.random.choice([line for line in lines(case) if options()[command_of(line)]])
    option = case.random.choice(options()[command_of(line)])
    name = case.random.choice(option.opts)
    values = ODD if name in ENDLESS else (*ODD, *LARGE, *CONTROL)
    line += [name] if getattr(option, "is_flag", False) else [name, case.random.choice(values)]
    if "--install-completion" not in line and "--show-completion" not in line:
        call(case, line)


@kind.often(2)
def missing_or_repeated_word(case: Case) -> None:
    prepare(case)
    line = case.random.choice(lines(case))
    place = case.random.randrange(len(line))
    line[place : place + 1] = [line[place]] * case.random.choice((0, 0, 2, 50))
    call(case, line)


@kind.often(2)
def shuffled_words(case: Case) -> None:
    prepare(case)
    line = case.random.choice(lines(case))
    words = line[1:]
    case.random.shuffle(words)
    call(case, [line[0], *words])


@kind.often(2)
def misspelled_word(case: Case) -> None:
    prepare(case)
    line = case.random.choice(lines(case))
    place = case.random.randrange(len(line))
    word = line[place]
    cut = case.random.randrange(len(word) + 1)
    line[place] = word[:cut] + case.random.choice(("", "x", "-", "=", " ", *CONTROL[:3])) + word[cut + 1 :]
    if line[0] != "train":  # whose --steps or --out would be others
        call(case, line)


@kind
def words_of_any_bytes(case: Case) -> None:
    prepare(case)
    line = case.random.choice(lines(case))
    line.insert(
        case.random.randrange(1, len(line) + 1),
        os.fsdecode(case.random.randbytes(case.random.randint(1, 20)).replace(b"\0", b"")),
    )
    call(case, line)


@kind.often(4)
def odd_assignment(case: Case) -> None:
    """``--set``, ``--with`` and ``--data`` with anything."""
    prepare(case)
    key = case.random.choice(
        ("lr", "pool", "cycle", "generator", "generator.blocks", "generator.width", "ema", "", "a.b.c", "x", "lr.x")
    )
    value = case.random.choice(
        (*ODD, *LARGE[1:], "!!python/object/apply:os.system [x]", "&a [*a]", "2026-11-28", "0x1f", deep(2000), "? x")
    )
    form = case.random.choice(("--set", "--with", "--data"))
    if form == "--with":
        line = [*lines(case)[6], "--with", f"{case.random.choice(('direction', key))}={value}"]
    elif form == "--data":
        line = [
            *lines(case)[-1],
            "--data",
            case.random.choice((value, f"{{name: scenes, {key or 'x'}: {value}}}", f"{{name: {value}}}")),
        ]
    else:
        line = [*lines(case)[-1], "--set", f"{key}={value}"]
    call(case, line)


@kind.often(3)
def odd_config(case: Case) -> None:
    """Config files of anything: deep, with references that explode, with tags of other programs."""
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    text = case.random.choice(
        (
            bomb,
            bomb + "plugin: cyclegan\nset: {x: *i}\n",
            "!!python/object/apply:os.system [touch hostile-code-was-here]",
            deep(2000),
            "plugin: [cyclegan",
            "plugin: 7",
            "plugin: null",
            "plugin: cyclegan\nsteps: yes",
            "plugin: cyclegan\nsteps: 1.5",
            "plugin: cyclegan\nset: 7",
            "plugin: cyclegan\n1: 2",
            "plugin: cyclegan\n? [a]\n: b",
            'plugin: cyclegan\ndevice: "\\x1b[31m"',
            "plugin: cyclegan\nplugin: wct\nsize: -5",
            "&a [*a]",
            "\0",
            "\ufeff",
            "\t- x",
            "",
            "- a",
            "x: 2026-11-28",
        )
    )
    Path("settings.yaml").write_text(text)
    path = case.random.choice(("settings.yaml",) * 5 + ("nowhere.yaml", ".", "/dev/zero"))
    case.mentions = ("settings", path, "setting", "--plugin")
    case.expected = CLEAR
    call(case, ["train", "--config", path])


# Surroundings


@kind.often(2)
def odd_environment(case: Case) -> None:
    prepare(case)
    name, values = case.random.choice(
        (
            ("STYLEKIT_KERNELS", ("x", "", "reference")),
            ("STYLEKIT_PLUGINS", ("", "nowhere", ",,,", "\x1b[31m", "x" * 5000)),
            ("COLUMNS", ("0", "-1", "x", "1", "100000")),
            ("HOME", ("", "/nowhere", "/dev/null")),
            ("TERM", ("", "dumb", "x")),
            ("LANG", ("C", "x", "tr_TR.UTF-8")),
            ("PYTHONIOENCODING", ("ascii", "latin-1", "utf-16")),
            ("OMP_NUM_THREADS", ("0", "x", "-1", "1000")),
            ("XDG_CACHE_HOME", ("/dev/null", "/nowhere", "")),
            ("TMPDIR", ("/nowhere", "")),
            ("WORLD_SIZE", ("x", "2")),
            ("SLURM_STEP_NUM_TASKS", ("1",)),
            ("CUDA_VISIBLE_DEVICES", ("x", "-1", "99")),
        )
    )
    case.process(*case.random.choice(lines(case)[:-1]), **{name: case.random.choice(values)})


@kind.often(3)
def odd_streams(case: Case) -> None:
    """Closed, full and broken streams, and a working directory that is gone: no traceback, and no crash."""
    prepare(case)
    line = " ".join(f"'{word}'" for word in case.random.choice([lines(case)[number] for number in (0, 1, 2, 3, 5, 6)]))
    program = f"'{sys.executable}' -m stylekit {line}"
    script = case.random.choice(
        (
            f"{program} >&-",
            f"{program} 2>&-",
            f"{program} <&-",
            f"{program} >/dev/full",
            f"{program} 2>/dev/full",
            f"{program} | head -c 1 >/dev/null",
            f"mkdir gone && cd gone && rmdir ../gone && {program}",
            f"PYTHONIOENCODING=ascii {program}",
            f"ulimit -n 16; {program}",
            f"ulimit -f 1; {program}",
        )
    )
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, stdin=subprocess.DEVNULL, timeout=HANGS, check=False
    )
    result = Result(done.returncode, done.stdout, done.stderr.decode(errors="backslashreplace"))
    require_printable(result.err)
    if "Traceback" in result.err or done.returncode >= 128 or done.returncode < 0:
        raise Bad(f"{script[script.index(' -m ') :]} in bash: {done.returncode}, {result.err[-400:]!r}")


@kind
def odd_plugin_file(case: Case) -> None:
    """A plugin file that is none, or fails: named in one sentence."""
    case.expected = CLEAR
    prepare(case)
    text = case.random.choice(
        (
            "",
            "def",
            "1 / 0",
            "import nowhere",
            "raise SystemExit(3)",
            "\0",
            "from stylekit import hookimpl\n@hookimpl\ndef stylekit_methods():\n    return 7",
            "from stylekit import hookimpl\n@hookimpl\ndef stylekit_methods():\n    return {'\\x1b[31m': 7}",
            "from stylekit import hookimpl\n@hookimpl\ndef stylekit_methods(a, b):\n    return {}",
            "STYLEKIT_API = 'x'",
            "raise Exception('\\x1b[31m')",
        )
    )
    Path("mine.py").write_text(text)
    case.mentions = ("mine.py", "mine")
    name = case.random.choice(("mine.py",) * 4 + ("mine.py:x", "nowhere.py", "photos.py", "mine.txt"))
    case.mentions = (name.partition(":")[0], "mine", "no model x")
    line = case.random.choice(
        (
            ["train", "--plugin", name, "--steps", "1"],
            ["stylize", "photo.png", "-o", "o.png", "--model", "x", "--plugin", name],
        )
    )
    call(case, line)
