"""The networks of Sinew in PyTorch: architectures, checkpoint import, ONNX export and bundles.

Python is needed to train, import and export. Building, testing and running the runtime needs none of it.
"""
