"""Links the pictures that train.sh trains on into folders by artist and by scene.

    python examples/any/prepare.py PICTURES FOLDER

PICTURES has a ``manifest.csv`` with the columns path, split, group and author_died. Links are made for the training split of
``contents``, ``styles`` and ``textures``, except for works of authors who died after 1926, which are not free everywhere. A
group, such as an artist, becomes a folder, so that ``by_folder`` of the data set ``folders`` draws all groups equally often.
"""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter
from pathlib import Path

SIDES = {"contents": "content", "styles": "style", "textures": "style"}


def main(pictures: Path, folder: Path) -> None:
    made: Counter[str] = Counter()
    with (pictures / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        kind = row["path"].split("/")[0]
        if kind not in SIDES or row["split"] not in ("train", "") or row["author_died"] == "after 1926":
            continue
        group = re.sub(r"\W+", "-", row["group"] or row["path"]).strip("-")
        link = folder / SIDES[kind] / group / Path(row["path"]).name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to((pictures / row["path"]).resolve())
        made[f"{kind}, {row['licence_class']}"] += 1
    for name, count in sorted(made.items()):
        print(f"{name}: {count}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
