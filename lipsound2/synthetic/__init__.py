"""Generated talking faces: a small corpus that carries real speech in its frames, for recipes and tests."""
