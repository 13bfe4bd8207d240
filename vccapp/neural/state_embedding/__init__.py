"""The cell embedding of STATE (SE): its parameters, its network, the vectors it writes."""
