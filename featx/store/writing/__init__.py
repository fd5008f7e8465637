"""Writing a features file: batches into a journal, and from it the file, whole or not at all.

`writer` is the way in; it takes batches through `incoming` (checked, compressed by `early` where a
GPU leaves time) into `journal` (`records` in `framing`). `assembly` lays the file out from
them, through `sink`; `sizing` tells beforehand what that will take.
"""
