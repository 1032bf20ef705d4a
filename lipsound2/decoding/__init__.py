"""Search: CTC, beam, joint CTC/attention, n-grams, grammars, forced alignment. No networks here."""
