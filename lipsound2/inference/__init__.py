"""What trained models do with a clip or a data dir: speech, text, word classes, ONNX."""
