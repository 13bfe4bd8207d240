"""What is kept about finished runs: scores, results entered by hand, the leaderboard, the report."""
