"""All five papers' systems on one data set, with one recipe."""
