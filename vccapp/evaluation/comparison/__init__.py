"""Predicted against real: all that Compare shows."""
