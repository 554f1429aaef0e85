"""The papers' ablations at small scale."""
