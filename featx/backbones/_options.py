"""What a backbone's name may carry behind a colon: ``agenet:conv_layers=4,filters=32``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from featx.errors import FeatxError, unknown

Value = int | str


@dataclass(frozen=True)
class Option:
    """One thing about an architecture that a name can choose.

    Attributes
    ----------
    default : int or str
        Taken where the name does not say.
    allowed : range or tuple of str
        The values there are: whole numbers, or words.
    """

    default: Value
    allowed: range | tuple[str, ...]

    def read(self, text: str) -> Value | None:
        """Return the value that a text stands for; None where it stands for none of them."""
        if isinstance(self.allowed, tuple):
            return text if text in self.allowed else None
        number = int(text) if text.isascii() and text.isdigit() else None
        return number if number in self.allowed else None

    def describe(self) -> str:
        """Return the allowed values in words."""
        if isinstance(self.allowed, tuple):
            return " or ".join(self.allowed)
        steps = f" in steps of {self.allowed.step}" if self.allowed.step > 1 else ""
        return f"{self.allowed[0]} to {self.allowed[-1]}{steps}"


def read_options(backbone: str, text: str, options: Mapping[str, Option]) -> dict[str, Value]:
    """Read what follows the colon in a backbone's name.

    Parameters
    ----------
    backbone : str
        The name before the colon.
    text : str
        ``NAME=VALUE``, several with commas between them.
    options : mapping of str to Option
        Those that the backbone has.

    Returns
    -------
    dict of str to int or str
        All options in the mapping's order, the defaults filled in.

    Raises
    ------
    FeatxError
        If the backbone has no options, there is no such option (near matches are named), one is
        given twice, or a value is malformed or out of range.
    """
    if not options:
        raise FeatxError(f"backbone {backbone} has no options; leave out {':' + text!r}")
    given: dict[str, Value] = {}
    for part in text.split(","):
        name, equals, wanted = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise FeatxError(
                f"backbone {backbone}: {part!r} is no option; write {backbone}:"
                + ",".join(f"{known}={option.default}" for known, option in options.items())
            )
        if name in given:
            raise FeatxError(f"backbone {backbone}: {name} is given twice; give it once")
        given[name] = read_option(backbone, name, wanted, options)
    return {name: given.get(name, option.default) for name, option in options.items()}


def read_option(backbone: str, name: str, text: str, options: Mapping[str, Option]) -> Value:
    """Read the value of one option.

    Parameters
    ----------
    backbone : str
        The name before the colon.
    name, text : str
        Of the option, and its value.
    options : mapping of str to Option
        Those that the backbone has.

    Raises
    ------
    FeatxError
        If there is no such option (near matches are named), or the value is malformed or out of
        range.
    """
    if name not in options:
        raise unknown(f"option of backbone {backbone}", name, options)
    value = options[name].read(text)
    if value is None:
        raise FeatxError(
            f"backbone {backbone}: {name}={text} is not possible; give {options[name].describe()}"
        )
    return value


def full_name(backbone: str, values: Mapping[str, Value], options: Mapping[str, Option]) -> str:
    """Return a backbone's name with its options, the defaults left out, in the mapping's order."""
    chosen = [f"{name}={values[name]}" for name in options if values[name] != options[name].default]
    return f"{backbone}:{','.join(chosen)}" if chosen else backbone
