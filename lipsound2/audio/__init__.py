"""Audio files, mel-spectrograms and the way back to audio."""
