"""PASE+ (Ravanelli et al., 2020): the encoder and the workers that train it."""
