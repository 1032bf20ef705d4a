"""Sound files, mel-spectrograms and the way back to sound."""
