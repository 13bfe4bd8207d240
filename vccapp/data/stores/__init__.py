"""Files of others before they are believed: where they lie, what they link to, how large they say they are."""
