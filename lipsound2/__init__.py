"""Video of a talking face to speech and words: LipSound2 and LiRA."""

__version__ = "0.1.0"
