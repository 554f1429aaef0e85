"""Graphs of less precision for a bundle: explicit 8 bits, 16-bit types; and what they cost."""
