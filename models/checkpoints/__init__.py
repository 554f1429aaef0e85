"""Weights read from files: official checkpoints, and bundles to train on from."""
