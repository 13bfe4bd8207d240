"""Changing a prediction after its fit: `setting` says how much, `basis` what is learnt for it, `prepared` does it."""
