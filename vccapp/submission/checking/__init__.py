"""What the checks of a submission stand on: the file and what is expected of it, scanned once; reasons and profiles."""
