"""The attention decoder of LipSound2, after Tacotron 2 (Shen et al., 2018)."""
