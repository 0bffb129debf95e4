"""What is said twice is checked once."""
