"""The page Submit: season, plan, cells, checks, package, and the submissions that there are."""
