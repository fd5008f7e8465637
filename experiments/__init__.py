"""One folder a paper: what it reported and how to run it again."""
