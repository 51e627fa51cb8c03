"""ihomer."""
