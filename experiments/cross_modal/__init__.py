"""Aminian and Noubir (2019): age from a face and what a gender network sees in it."""
