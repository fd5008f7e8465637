"""What can be done with features files that are there: described, checked, saved, joined, compared.

`inspection`, `verification` (of what `damage` finds), `repairing` (also of what is `truncated`),
`merging` of a `shard_set`, `exporting` and `difference`: a module or two for each command.
"""
