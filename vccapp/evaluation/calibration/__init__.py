"""What calibrations would score on held-out perturbations: `pool` scores one, `curves` looks along each knob."""
