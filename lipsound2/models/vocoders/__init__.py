"""Vocoders (HiFi-GAN, Vocos, WaveGlow) and their discriminators."""
