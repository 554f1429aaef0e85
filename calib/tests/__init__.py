"""Tests of calib."""
