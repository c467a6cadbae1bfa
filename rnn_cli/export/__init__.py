"""A model for other programs: ONNX, NumPy, C, a folder for model hubs, a web page; and weights from PyTorch."""
