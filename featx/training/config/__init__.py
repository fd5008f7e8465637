"""Cascade files: what they may say, and where in the file it is wrong."""
