"""Made-up cells with known truth: what an experiment is made of, the file, the built-in demo."""
