"""Readers of image collections: a function each, from a path to an image table."""
