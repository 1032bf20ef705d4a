"""What a lip model learns to predict of the sound, and what a network makes of a clip."""
