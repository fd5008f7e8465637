"""What other packages bring: data sets, backbones and regressors, found by their entry points.

A package names what it brings in its ``pyproject.toml``, in the group `GROUPS` has for it::

    [project.entry-points."featx.backbones"]
    mobilenet = "my_package.mobilenet"

Names are read from the metadata of installed packages. Code is imported when its name is asked
for, and not before.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from featx.errors import FeatxError, unknown

#: What a plug-in can bring, and the entry point group under which it says so.
GROUPS = {
    "data set": "featx.datasets",
    "backbone": "featx.backbones",
    "regressor": "featx.regressors",
}

_loaded: dict[str, str] = {}


@dataclass(frozen=True)
class Plugin:
    """One thing that an installed package brings.

    Attributes
    ----------
    kind, name : str
        A key of `GROUPS`, and the name under which it is asked for.
    entry : importlib.metadata.EntryPoint
        Where its code is.
    package, version : str
        Of the distribution.
    """

    kind: str
    name: str
    entry: importlib.metadata.EntryPoint
    package: str
    version: str

    def __str__(self) -> str:
        """Return what it is and whose."""
        return f"the {self.kind} {self.name!r} of the package {self.package} {self.version}"

    def load(self) -> Any:
        """Import it and return what the entry point names.

        Raises
        ------
        FeatxError
            If that fails, whatever the reason.
        """
        try:
            found = self.entry.load()
        except Exception as error:
            raise FeatxError(
                f"{self} cannot be imported from {self.entry.value} "
                f"({type(error).__name__}: {error}); mend or uninstall that package"
            ) from error
        _loaded[self.package] = self.version
        return found


@cache
def _found(kind: str) -> dict[str, list[Plugin]]:
    found: dict[str, list[Plugin]] = {}
    for entry in importlib.metadata.entry_points(group=GROUPS[kind]):
        package, version = (entry.dist.name, entry.dist.version) if entry.dist else ("?", "?")
        found.setdefault(entry.name, []).append(Plugin(kind, entry.name, entry, package, version))
    return found


def plugin_names(kind: str) -> list[str]:
    """Return the names that installed packages bring of a kind, importing none of them."""
    return sorted(_found(kind))


def find_plugin(kind: str, name: str, own: Iterable[str] = ()) -> Plugin:
    """Return what an installed package brings under a name, not imported yet.

    Parameters
    ----------
    kind : str
        A key of `GROUPS`.
    name : str
        What is asked for.
    own : iterable of str
        The names that featx itself has, for near matches.

    Raises
    ------
    FeatxError
        If no package brings it, or two do.
    """
    plugins = _found(kind).get(name, [])
    if not plugins:
        raise unknown(kind, name, {*own, *_found(kind)})
    if len(plugins) > 1:
        both = " and ".join(sorted(plugin.package for plugin in plugins))
        raise FeatxError(f"the {kind} {name!r} is brought by the packages {both}; uninstall one")
    return plugins[0]


def register_plugin(kind: str, name: str, registry: Mapping[str, Any]) -> None:
    """Import the package that brings a name, which enters it into a registry as it is imported.

    Parameters
    ----------
    kind, name
        See `find_plugin`.
    registry : mapping of str
        Where the name is to be found then; nothing is imported where it is there already.

    Raises
    ------
    FeatxError
        As `find_plugin` and `Plugin.load`, and if the name is still not in the registry.
    """
    if name in registry:
        return
    plugin = find_plugin(kind, name, registry)
    plugin.load()
    if name not in registry:
        raise FeatxError(
            f"{plugin} is not there after {plugin.entry.value} was imported; its entry point must "
            "have the name under which its code registers it"
        )


def plugin_versions() -> dict[str, str]:
    """Return the packages whose plug-ins this process has imported, with their versions."""
    return dict(_loaded)
