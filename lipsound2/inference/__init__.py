"""What a trained model does, of any clip or of a data dir: speech, text, word classes, ONNX."""
