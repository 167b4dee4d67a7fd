"""The function that every engine calls: pictures in, as bytes, and stylised pictures or errors out."""

from __future__ import annotations

import shutil
import tempfile
import warnings
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from stylekit._files import absolute_path, is_file
from stylekit.cli.batch.manifest import digest
from stylekit.cli.failures import failure
from stylekit.cli.masks import Masks
from stylekit.cli.progress import Progress
from stylekit.cli.recipe import Recipe
from stylekit.cli.results import save
from stylekit.cli.style_arguments import STYLE_FILE, StyleMix
from stylekit.cli.stylizing import Made, stylize_each
from stylekit.cli.targets import Job
from stylekit.datasets.files import find_images, named_files
from stylekit.errors import StylekitWarning
from stylekit.inference.exported import SUFFIXES
from stylekit.inference.exported.card import file_names


@dataclass(frozen=True)
class Input:
    """A picture to stylise.

    Attributes:
        source: what it is called in messages
        relative: its path within the folder that the user gave, from which its random numbers are derived
        style: index of the styles in the recipe
        target: name of the output, whose suffix decides the format
        content: the file
    """

    source: str
    relative: str
    style: int
    target: str
    content: bytes


@dataclass(frozen=True)
class Output:
    """What became of a picture.

    Attributes:
        content: the stylised file; None: it failed
        facts: width, height, frames and seconds
        error: why it failed
        warnings: what the user should know of it
    """

    content: bytes | None = None
    facts: Mapping[str, Any] | None = None
    error: str = ""
    warnings: tuple[str, ...] = ()


class Parcel:
    """A recipe with the files that it names, to be sent to a machine that does not have them.

    Args:
        recipe: the recipe; folders of masks are not sent, so every machine must reach them
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe = replace(recipe, masks=[absolute_path(path) for path in recipe.masks])
        named = [*(name for name, _ in recipe.models), *map(str, (*recipe.plugins, *recipe.masks))]
        named += [style for mix in recipe.mixes for style, _ in mix.styles]
        self._files = {name: list(_files_of(name)) for name in dict.fromkeys(named)}

    def identities(self) -> dict[str, str]:
        """The digests of the files' contents, and of those in folders of masks, by what the recipe calls them."""
        contents = {name: [content for _, content in files] for name, files in self._files.items()}
        for path in filter(Path.is_dir, self.recipe.masks):
            named = named_files("", path, find_images(path))
            contents[str(path)] = [part for name, file in named.items() for part in (name.encode(), file.read_bytes())]
        return {name: digest("".join(map(digest, parts)).encode())[:32] for name, parts in contents.items() if parts}

    def unpack(self, folder: Path) -> Recipe:
        """The recipe, with its files in a folder."""
        paths: dict[str, str] = {}
        for number, (name, files) in enumerate(self._files.items()):
            for file, content in files:
                (folder / str(number)).mkdir(exist_ok=True)
                (folder / str(number) / file).write_bytes(content)
            if files:
                _, mark, look = name.partition(f"{STYLE_FILE}#")
                paths[name] = f"{folder / str(number) / files[0][0]}{f'#{look}' if mark else ''}"

        def moved(name: str) -> str:
            return paths.get(name, name)

        mixes = [
            StyleMix(mix.name, tuple((moved(style), weight) for style, weight in mix.styles))
            for mix in self.recipe.mixes
        ]
        plugins, masks = (
            [Path(moved(str(path))) for path in each] for each in (self.recipe.plugins, self.recipe.masks)
        )
        models = tuple((moved(name), weight) for name, weight in self.recipe.models)
        return replace(self.recipe, models=models, mixes=mixes, plugins=plugins, masks=masks)


def _files_of(name: str) -> Iterator[tuple[str, bytes]]:
    """The names and contents of the files that a model, style, mask or plugin consists of, itself first; none for the name
    of something that is installed."""
    head, mark, _ = name.partition(f"{STYLE_FILE}#")
    path, files = Path(head + (STYLE_FILE if mark else "")), list[Path]()
    if path.suffix in SUFFIXES:
        files = file_names(path)
    elif path.suffix == ".py" and path.is_file():  # it may import modules next to it
        files = [path, *sorted(each for each in path.parent.glob("*.py") if each.name != path.name)]
    elif path.is_dir():
        from stylekit.inference.model_files import find_model_file

        files = [found] if (found := find_model_file(path)) else []
    else:
        files = [path]
    yield from ((file.name, file.read_bytes()) for file in files if is_file(file))


class BatchStylizer:
    """Stylises pictures as ``stylekit stylize`` does on one machine, byte for byte. The model is loaded and the styles are
    described once.

    Args:
        parcel: what to stylise with
        count: number of pictures of the whole batch, by which ``--engine auto`` chooses

    Raises:
        StylekitError: the recipe cannot be used.
    """

    def __init__(self, parcel: Parcel, count: int) -> None:
        folder = tempfile.mkdtemp(prefix="stylekit-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.recipe = parcel.unpack(Path(folder))
        self.request, self.options, concurrency = self.recipe.open(Masks(self.recipe.masks), count)
        self.concurrency = concurrency(self.options)

    def __call__(self, inputs: Sequence[Input]) -> list[Output]:
        """What becomes of each picture. A picture that cannot be stylised is no exception."""
        with tempfile.TemporaryDirectory(prefix="stylekit-") as name, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", StylekitWarning)
            jobs = [_unpacked(Path(name, str(number)), each) for number, each in enumerate(inputs)]
            facts, outputs = dict[Job, dict[str, Any]](), list[Output]()

            def write(job: Job, made: Made, seconds: float) -> None:
                saved = save(job.target, made, self.recipe.depth, self.recipe.quality)
                facts[job] = {**saved, "seconds": round(seconds, 3)}

            outcomes = stylize_each(self.request, jobs, {}, self.options, write, self.concurrency, Progress(quiet=True))
            for (job, error), given in zip(outcomes, inputs, strict=True):
                if error:
                    outputs.append(Output(error=_named(failure(job.source, error), [job], [given])))
                else:
                    outputs.append(Output(job.target.read_bytes(), facts[job]))
            texts = [str(each.message) for each in caught if issubclass(each.category, StylekitWarning)]
        first = tuple(_named(text, jobs, inputs) for text in dict.fromkeys(texts))
        return [replace(outputs[0], warnings=first), *outputs[1:]] if outputs else []


def _unpacked(folder: Path, given: Input) -> Job:
    for each in ("in", "out"):
        (folder / each).mkdir(parents=True)
    source = folder / "in" / (PurePosixPath(given.relative).name or "picture")
    source.write_bytes(given.content)
    return Job(source, Path(given.relative), given.style, folder / "out" / PurePosixPath(given.target).name)


def _named(text: str, jobs: Iterable[Job], inputs: Iterable[Input]) -> str:
    """A message, with the names of the temporary files replaced by those that the user knows."""
    for job, given in zip(jobs, inputs, strict=True):
        text = text.replace(str(job.source), given.source).replace(str(job.target), given.target)
    return text
