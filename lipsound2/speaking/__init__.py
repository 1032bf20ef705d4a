"""Pictures -> speech: experiments, vocoders, any clip, with torch and without."""
