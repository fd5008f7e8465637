"""What the readers share: the images of a collection, and ids made from their names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from featx.archives import Files
from featx.images import EXTENSIONS

#: A file name.s ending, from the last dot on.
LAST_ENDING = re.compile(r"\.[^./]*$")


class ImageFiles(Files):
    """The images of a folder or archive, at any depth, sorted by path."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.names = [
            name for name in self.names if PurePosixPath(name).suffix.lower() in EXTENSIONS
        ]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)


def image_ids(
    files: ImageFiles, ending: re.Pattern[str] = LAST_ENDING
) -> Iterator[tuple[str, str]]:
    """Yield each file's name and an id for it: as short as keeps all ids apart.

    The id is the file's own name without its ending; where two files share that, with its ending;
    where they share that too, the whole path.
    """
    own = {name: name.rpartition("/")[2] for name in files.names}
    stems = {name: ending.sub("", base) for name, base in own.items()}
    by_stem, by_name = Counter(stems.values()), Counter(own.values())
    for name in files.names:
        if by_stem[stems[name]] == 1:
            yield name, stems[name]
        else:
            yield name, own[name] if by_name[own[name]] == 1 else name
