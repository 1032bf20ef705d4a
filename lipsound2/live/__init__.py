"""Live use: camera, a tracker that does not look ahead, keys, screen, loudspeaker, each behind a small interface."""
