"""Images in, features out."""

__version__ = "0.1.0"
