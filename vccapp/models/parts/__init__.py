"""What models are made of: features of genes, effects, baselines, knock-down. Nothing here is trained alone."""
