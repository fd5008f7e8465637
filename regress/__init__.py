"""Features in, errors out. Never imports torch."""
