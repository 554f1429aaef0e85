"""The program against the NumPy reference, from an image to poses."""
