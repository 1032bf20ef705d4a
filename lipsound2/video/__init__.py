"""Video of a talking face: decoded, its face detected and tracked, face and mouth cropped."""
