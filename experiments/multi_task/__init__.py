"""Kang, Jiang and Li: age and gender on shared convolutions."""
