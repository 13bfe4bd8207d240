"""A prediction in its season's container: slim, archived, read back, and what the official packager says of it."""
