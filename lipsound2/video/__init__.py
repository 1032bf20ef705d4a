"""Video of a talking face -> landmarks and steady crops of face and mouth."""
