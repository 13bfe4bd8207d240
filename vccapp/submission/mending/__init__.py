"""How a prediction is written anew: the draft that mends change, and the order in which they do."""
