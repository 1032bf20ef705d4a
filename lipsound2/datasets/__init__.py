"""What the trainer is fed: clips, utterances and segments out of a dump, augmented and collated."""
