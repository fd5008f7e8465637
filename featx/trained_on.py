"""Whom a network has been trained on: its file tells, so that it need not be believed."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from featx.identities import people

#: Bytes of a digest: among a million images against a million others, the chance that any two
#: different ones agree is 1 in 18 million.
_BYTES = 8

_DTYPE = f"<u{_BYTES}"

#: What is said of a network whose file does not tell.
NOT_TOLD = "does not tell whom it was trained on (an earlier featx made it); train it again"


@dataclass(frozen=True, eq=False)
class TrainedOn:
    """Who was in the training and validation images of all of a network's stages.

    Validation images count: they decided when training stopped, and which epoch was kept.

    Attributes
    ----------
    images, people : numpy.ndarray, uint64, sorted, each once
        Digests of the source files' SHA-256, and of persons' names as `featx.identities.people`
        has them. An image whose hash, or whose subject, was unknown is not among them.
    """

    images: np.ndarray
    people: np.ndarray

    @classmethod
    def of(cls, *tables: pd.DataFrame) -> TrainedOn:
        """Digest the rows of some tables with `dataset`, `subject` and `sha256`.

        No table stands for a network that has seen no labelled image of anybody's.
        """
        # what is unknown is nobody: no digest of empty text is ever among the known ones
        images = [_digests(filter(None, table["sha256"])) for table in tables]
        persons = [_digests(filter(None, people(table))) for table in tables]
        return cls(_union(images), _union(persons))

    def __or__(self, other: TrainedOn) -> TrainedOn:
        """Return who is in either."""
        return TrainedOn(_union([self.images, other.images]), _union([self.people, other.people]))

    def among(self, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Tell which rows of a table show a known image, and which a known person.

        Parameters
        ----------
        table : pandas.DataFrame
            With `dataset`, `subject` and `sha256`, each empty where unknown.

        Returns
        -------
        images, people : numpy.ndarray
            bool, shape (rows,).
        """
        images, persons = _digests(table["sha256"]), _digests(people(table))
        # by sorting: the way for small ranges of integers overflows in NumPy 2.0
        return (
            np.isin(images, self.images, kind="sort"),
            np.isin(persons, self.people, kind="sort"),
        )

    def overlap(self, table: pd.DataFrame) -> str:
        """Say which rows of a table show an image or a person that is known; empty where none does.

        As ``2 of these 10 images (such as a.png) and other images of 1 person (such as Ann)``.
        """
        images, persons = self.among(table)
        others = persons & ~images
        told = []
        if images.any():
            some = _examples(table["image"][images])
            told.append(f"{images.sum():,} of these {len(table):,} images (such as {some})")
        if others.any():
            names = table["subject"][others]
            n = names.nunique()
            told.append(
                f"other images of {n:,} {'person' if n == 1 else 'people'} "
                f"(such as {_examples(names)})"
            )
        return " and ".join(told)

    def encode(self) -> str:
        """Return text that `decode` reads back."""
        parts = {"images": self.images, "people": self.people}
        return json.dumps(
            {k: base64.b64encode(v.astype(_DTYPE).tobytes()).decode() for k, v in parts.items()}
        )

    @classmethod
    def decode(cls, text: str) -> TrainedOn:
        """Read what `encode` returned.

        Raises
        ------
        ValueError
            If it is malformed.
        """
        try:
            told = json.loads(text)
            parts = [
                np.frombuffer(base64.b64decode(told[key], validate=True), _DTYPE)
                for key in ("images", "people")
            ]
        except (KeyError, TypeError, binascii.Error) as error:
            raise ValueError(repr(error)) from None
        return cls(*(part.astype(np.uint64) for part in parts))


def _examples(names: pd.Series, most: int = 3) -> str:
    return ", ".join(list(dict.fromkeys(names))[:most])


def _union(parts: Iterable[np.ndarray]) -> np.ndarray:
    return np.unique(np.concatenate([np.empty(0, np.uint64), *parts]))


def _digests(texts: Iterable[str]) -> np.ndarray:
    joined = b"".join(
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_BYTES).digest()
        for text in texts
    )
    return np.frombuffer(joined, _DTYPE).astype(np.uint64)
