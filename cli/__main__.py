"""`python -m cli` is `featx`."""

from cli.main import main

main()
