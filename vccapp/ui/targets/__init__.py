"""The parts of the page Targets."""
