"""Generated talking faces: a small corpus that carries real speech in its pictures, for recipes and tests."""
