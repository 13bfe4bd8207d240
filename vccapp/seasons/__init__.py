"""What a season of the challenge asks: one file a season; everything else asks the season."""
