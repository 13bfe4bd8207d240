"""From a signature to genes: which perturbations of a library would reverse or mimic it."""
