"""Trackers: a run's curves and scores, shown in another program too. One file a tracker, read from what a run logs."""
