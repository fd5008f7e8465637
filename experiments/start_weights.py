"""Proof that the network that a cascade starts from has seen nobody whom it will be tested on."""

from __future__ import annotations

from pathlib import Path

from featx.checkpoints import SAFETENSORS, trained_on_in
from featx.errors import FeatxError
from featx.trained_on import NOT_TOLD
from featx.training.config.cascade_file import Cascade
from featx.training.images.samples import Samples


def check_start(cascade: Cascade, test: Samples, where: str) -> None:
    """Refuse a fine-tuned network that was trained on a test image, or on its person.

    Parameters
    ----------
    cascade : Cascade
        Its weights may be such a network's file; all others have seen no labels of ours.
    test : Samples
        Who is tested on.
    where : str
        What they are, for the message.

    Raises
    ------
    FeatxError
        Naming images or people; or if the network's file does not tell.
    """
    path = Path(cascade.weights_found).expanduser()
    if path.suffix.lower() not in SAFETENSORS or not path.is_file():
        return
    known = trained_on_in(path)
    if known is None:
        raise FeatxError(f"{path} {NOT_TOLD}")
    overlap = known.overlap(test.table)
    if overlap:
        raise FeatxError(
            f"{path}, which the cascade starts from, was trained on images of {where}: {overlap}; "
            "start from other weights, or make that training a stage of the cascade"
        )
