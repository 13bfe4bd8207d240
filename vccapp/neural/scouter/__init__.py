"""The network of Scouter and its task."""
