"""A page on this machine: a clip or the camera in, speech and words out. Verb `demo`; also as a Space (demo/app.py)."""
