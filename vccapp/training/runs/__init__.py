"""What is done with runs that are there: named, noted, compared, deleted and brought back."""
