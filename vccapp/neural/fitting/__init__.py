"""How networks learn: batches, the loop, its checkpoints, what it will take."""
