"""What a lip model learns to predict of the audio, and what a network makes of a clip."""
