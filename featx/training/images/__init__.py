"""What a stage is trained on: images selected, split, ordered, decoded and changed at random."""
