"""The launch protocol, the collector and the budget of rented machines, as moves over values."""
