"""Joining shards to the features file that one extraction of the whole table would have made."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import h5py
import numpy as np

from featx.atomic import writing
from featx.errors import FeatxError
from featx.store import comparison, netcdf, schema
from featx.store.deflate import Chunk
from featx.store.opening import open_features, reading
from featx.store.reader import FeaturesFile
from featx.store.tools.shard_set import Member, ShardSet
from featx.store.writing.assembly import Block, Piece, assemble, block_rows


def merge(joined: ShardSet, out: str | Path, *, resume: bool = False) -> bool:
    """Write the whole features file.

    It is equal to the one that a single extraction writes, to the byte where the compression is
    gzip, but for the attributes ``created`` (the earliest of the shards') and ``context`` (where
    the shards' differ, the list of their values). The shards stay; so the disk holds the rows
    twice. Memory does not grow with the number of rows, but for what the image table takes.

    Parameters
    ----------
    joined : ShardSet
        Of `featx.store.tools.shard_set.read_shards`.
    out : str or Path
        The file.
    resume : bool
        Where the file is there, check it and keep it.

    Returns
    -------
    bool
        Whether it was written; False where it was there.

    Raises
    ------
    FeatxError
        If the file is there and is not to be kept or is another one, a shard's rows differ from
        their hash, or there is too little room on the disk.
    """
    out, plan = Path(out), joined.plan
    if out.exists():
        comparison.refuse_overwriting(out, resume=resume)
        images = schema.columns_to_json(joined.images)
        comparison.check_complete(out, {**plan, "images": images})
        return False
    with writing(out) as temporary:
        free = shutil.disk_usage(out.parent).free
        if free < joined.n_bytes:
            raise FeatxError(
                f"{out} needs about {joined.n_bytes:,} bytes beside its shards, {out.parent} has "
                f"{free:,}; make room, or choose another place"
            )
        filters = schema.filters(joined.members[0].compression)
        try:
            assemble(temporary, plan, joined.images, joined.layers, filters, _blocks(joined))
        except RuntimeError as error:  # what h5py makes of some errors while writing
            raise FeatxError(f"cannot write {out}: {schema.cause(error)}") from error
        if out.exists():
            raise FeatxError(f"{out} was made by another run meanwhile; it was left as it is")
    return True


def remove_merged(files: Iterable[Path], out: Path) -> list[Path]:
    """Remove the shards that say that they are a part of the whole file.

    Returns
    -------
    list of Path
        Those that are something else, which stay.

    Raises
    ------
    FeatxError
        If one of the files cannot be read.
    """
    with FeaturesFile(out) as whole:
        wanted = whole.config_hash
    others = []
    for path in filter(Path.exists, files):
        try:
            with FeaturesFile(path) as file:
                merged = file.shard is not None and file.shard.config_hash == wanted
        except FeatxError:
            if path.exists():
                raise
            continue  # another process removes them too
        if merged:
            path.unlink(missing_ok=True)
        else:
            others.append(path)
    return others


def _blocks(joined: ShardSet) -> Iterator[Block]:
    """Yield the rows of all shards; chunks that no two of them share come as they are stored."""
    n, dtype = len(joined.images), joined.members[0].settings["dtype"]
    size = block_rows(joined.layers, dtype)
    sources = [_Source(member) for member in joined.members]
    for start in range(0, n, size):
        rows = range(start, min(start + size, n))
        with contextlib.ExitStack() as opened:
            files = [
                (source, opened.enter_context(open_features(source.member.path)))
                for source in sources
                if source.overlaps(rows)
            ]
            block: dict[str, list[Piece]] = {}
            for layer in joined.layers:
                parts = [source.values(file, layer.name, rows) for source, file in files]
                values = parts[0] if len(parts) == 1 else np.concatenate(parts)
                shape = (min(netcdf.chunk_rows(layer, dtype), n), layer.units)
                chunks: list[Chunk | None] = [None] * len(rows[:: shape[0]])
                for source, file in files:
                    source.put_chunks(file, layer.name, rows, shape, chunks)
                firsts = range(0, len(values), shape[0])
                block[layer.name] = [
                    Piece(values[first : first + shape[0]], chunk)
                    for first, chunk in zip(firsts, chunks, strict=True)
                ]
        yield block


class _Source:
    """A shard's rows, each read once, in order."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self._hashers = {name: hashlib.sha256() for name in member.digests}

    def overlaps(self, rows: range) -> bool:
        """Return whether the shard has some of these rows of the whole."""
        return self.member.shard.first < rows.stop and rows.start < self.member.shard.stop

    def values(self, file: h5py.File, name: str, rows: range) -> np.ndarray:
        """Return those of the rows that the shard has; with the last ones their hash is checked."""
        path, shard = self.member.path, self.member.shard
        with reading(path):
            values: np.ndarray = file[name][
                max(rows.start - shard.first, 0) : min(rows.stop, shard.stop) - shard.first
            ]
        self._hashers[name].update(np.ascontiguousarray(values).data)
        if rows.stop >= shard.stop and self._hashers[name].hexdigest() != self.member.digests[name]:
            raise FeatxError(
                f"{path}: layer {name} differs from its sha256; remove the file and make it again "
                f"with `featx extract --shard {shard}`"
            )
        return values

    def put_chunks(
        self,
        file: h5py.File,
        name: str,
        rows: range,
        shape: tuple[int, int],
        chunks: list[Chunk | None],
    ) -> None:
        """Put the chunks of the whole, of a shape, that the shard has as they are into the list."""
        shard, variable = self.member.shard, file[name]
        if variable.chunks != shape:  # the only one of a shard of few rows
            return
        for place, first in enumerate(rows[:: shape[0]]):
            stop = min(first + shape[0], rows.stop)
            here = first - shard.first
            if here >= 0 and here % shape[0] == 0 and stop <= shard.stop:
                with reading(self.member.path):
                    chunks[place] = variable.id.read_direct_chunk((here, 0))
