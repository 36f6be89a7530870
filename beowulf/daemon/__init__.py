"""The composition root: builds the rooms and wires them into one head."""
