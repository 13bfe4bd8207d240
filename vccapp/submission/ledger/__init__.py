"""What became of submissions: what made each, what was sent and when, what it scored, and how two of them differ."""
