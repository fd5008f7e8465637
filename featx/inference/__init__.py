"""A network's forward pass, the same to rounding and faster: folded, fused, narrowed, in streams.

`featx.extraction.engine` puts them together. Each gives what it was given back where it cannot do
better, and none changes the network that it was given.
"""
