"""What the page Ledger shows."""
