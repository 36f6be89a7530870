"""Who does how much, and who holds the others back: pure, without torch. Nodes get it too (Python 3.8 and newer)."""
