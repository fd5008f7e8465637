"""Kjærran, Bugge and Vennerød (2021): AgeNet, ages in ten bins, trained from scratch."""
