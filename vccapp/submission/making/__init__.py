"""The cells of a submission as they are made, gone on with after a stop, and what made them."""
