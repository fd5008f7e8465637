"""CNN backbones, one architecture a file."""
