"""Made-up faces in the layout of FG-NET, for demonstrations and tests without real data."""

from __future__ import annotations

from featx.datasets.generate.canvas import Pose
from featx.datasets.generate.collection import generate_fgnet
from featx.datasets.generate.drawing import draw_face, face_landmarks, random_pose
from featx.datasets.generate.identity import Identity, random_identity

__all__ = [
    "Identity",
    "Pose",
    "draw_face",
    "face_landmarks",
    "generate_fgnet",
    "random_identity",
    "random_pose",
]
