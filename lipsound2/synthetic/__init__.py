"""Generated talking faces: a small corpus whose lips move with its speech, for recipes and tests."""
