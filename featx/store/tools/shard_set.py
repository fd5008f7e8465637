"""The finished files of shards, and whether they make a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from featx import shards
from featx.errors import FeatxError
from featx.shards import Shard
from featx.store import comparison, netcdf, schema
from featx.store.opening import open_features, reading
from featx.store.schema import Layer


@dataclass(frozen=True)
class Member:
    """A shard's file, finished.

    Attributes
    ----------
    path : Path
        The file.
    shard : Shard
        Which it is.
    settings : dict
        What `featx.store.comparison.read_settings` returns, of the whole: without the shard.
    compression : str
        As `featx.store.schema.filters` takes it.
    digests : dict of str to str
        The SHA-256 of each layer's rows, as the file tells.
    created, context
        When it was begun; what is noted in it beside the provenance.
    images : pandas.DataFrame
        The per-image variables.
    """

    path: Path
    shard: Shard
    settings: dict[str, Any]
    compression: str
    digests: dict[str, str]
    created: str
    context: dict[str, Any]
    images: pd.DataFrame


@dataclass(frozen=True)
class ShardSet:
    """Shards that make a whole.

    Attributes
    ----------
    members : list of Member
        In the order of their rows.
    layers : list of Layer
        Of each.
    """

    members: list[Member]
    layers: list[Layer]

    @cached_property
    def images(self) -> pd.DataFrame:
        """The per-image variables of the whole."""
        return pd.concat([member.images for member in self.members], ignore_index=True)

    @property
    def statuses(self) -> dict[str, int]:
        """Rows by status, the most frequent first."""
        return dict(Counter(self.images["status"]).most_common())

    @property
    def n_bytes(self) -> int:
        """Size of the shards' files, which is about that of the whole's."""
        return sum(member.path.stat().st_size for member in self.members)

    @property
    def plan(self) -> dict[str, Any]:
        """What decides the whole, and when and where it was made: as a writer's, without images."""
        contexts = [member.context for member in self.members]
        return {
            **self.members[0].settings,
            "created": min(member.created for member in self.members),
            "context": _joined(contexts),
        }


def _joined(contexts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Join what was noted: what differs becomes the list of its values, in the shards' order."""
    joined: dict[str, Any] = {}
    for key in dict.fromkeys(key for context in contexts for key in context):
        values = [context[key] for context in contexts if key in context]
        distinct = [value for row, value in enumerate(values) if value not in values[:row]]
        if len(distinct) == 1:
            joined[key] = distinct[0]
        elif all(isinstance(value, dict) for value in distinct):
            joined[key] = _joined(distinct)
        else:
            joined[key] = distinct
    return joined


def read_shards(paths: Sequence[str | Path]) -> ShardSet:
    """Check that some files are the shards of one whole, each there once.

    Parameters
    ----------
    paths : sequence of str or Path
        In any order.

    Raises
    ------
    FeatxError
        If one is unfinished, damaged, or no shard; if they were made in different ways, or of
        different tables; if one is missing or given twice.
    """
    members = sorted((_read(Path(path)) for path in paths), key=lambda member: member.shard.number)
    if not members:
        raise FeatxError("no shard was given; give the files that `featx extract --shard` wrote")
    for member in members[1:]:
        _check_alike(members[0], member)
    _check_complete(members)
    layers = [
        Layer(**{**layer, "shape": tuple(layer["shape"]), "classes": tuple(layer["classes"])})
        for layer in members[0].settings["layers"]
    ]
    return ShardSet(members, layers)


def _read(path: Path) -> Member:
    with open_features(path) as file, reading(path):
        settings = comparison.read_settings(file)
        shard = Shard.told(settings["provenance"])
        if shard is None:
            raise FeatxError(
                f"{path} is no shard but a whole features file; give the files that `featx extract "
                "--shard` wrote"
            )
        del settings["provenance"][shards.ATTRIBUTE]
        settings["config_hash"] = shard.config_hash
        names = [layer["name"] for layer in settings["layers"]]
        member = Member(
            path=path,
            shard=shard,
            settings=settings,
            compression=netcdf.read_compression(file, names),
            digests={name: str(file[name].attrs["sha256"]) for name in names},
            created=str(file.attrs["created"]),
            context=dict(schema.decode_attribute(file.attrs["context"])),
            images=netcdf.read_images(file),
        )
        if len(member.images) != len(shard):
            raise ValueError(f"{len(member.images)} rows for a shard of {len(shard)}")
    return member


def _check_alike(one: Member, other: Member) -> None:
    """Refuse shards of different wholes, naming the first thing that differs."""
    if one.shard.count != other.shard.count:
        raise FeatxError(
            f"{one.path} is shard {one.shard}, but {other.path} is shard {other.shard}: give the "
            "shards of one cut"
        )
    differences = comparison.setting_differences(one.settings, other.settings)
    what, was, now = next(differences, ("", "", ""))
    if not what and one.compression != other.compression:
        what, was, now = "compression is", one.compression, other.compression
    if not what and one.settings["config_hash"] != other.settings["config_hash"]:
        what, was, now = "config hash is", one.shard.config_hash, other.shard.config_hash
    if what:
        raise FeatxError(
            f"{other.path} and {one.path} are not of one extraction: its {what} {now}, the other's "
            f"{was}; remove what is out of date and extract it again"
        )


def _check_complete(members: Sequence[Member]) -> None:
    """Check that no shard, and so no row, is missing or there twice."""
    count = members[0].shard.count
    by_number: dict[int, Member] = {}
    for member in members:
        former = by_number.setdefault(member.shard.number, member)
        if former is not member:
            raise FeatxError(
                f"shard {member.shard} is given twice: {former.path} and {member.path}; give one"
            )
    missing = [number for number in range(1, count + 1) if number not in by_number]
    if missing:
        rest = f" (so are {', '.join(map(str, missing[1:]))})" if missing[1:] else ""
        raise FeatxError(f"shard {missing[0]}/{count} is missing{rest}: {_where(members, missing)}")
    edge = 0
    for before, member in zip([members[0], *members], members, strict=False):
        if member.shard.first != edge:
            raise FeatxError(
                f"{member.path} begins with row {member.shard.first + 1}, but {before.path} ends "
                f"with row {edge}; extract them again with one version of featx"
            )
        edge = member.shard.stop
    if edge != members[0].shard.rows:
        raise FeatxError(
            f"{members[-1].path} ends with row {edge} of {members[0].shard.rows}; extract the "
            "shards again with one version of featx"
        )


def _where(members: Sequence[Member], missing: Sequence[int]) -> str:
    """Say where the first missing shard may be, by the name of one that is there."""
    path, count = members[0].path, members[0].shard.count
    again = f"`featx extract --shard {missing[0]}/{count}`"
    wanted = replace(members[0].shard, number=missing[0])
    file = path.with_name(path.name.replace(members[0].shard.tag, wanted.tag))
    if file == path:  # which was given another name
        return f"make it with {again}"
    if file.exists():
        return f"{file} was not given; give it too"
    partial = file.with_name(f"{file.name}.partial")
    if partial.exists():
        return f"{partial} did not finish; go on with {again} and --resume"
    return f"{file} is not there; make it with {again}"
