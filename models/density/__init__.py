"""Models that give images a probability, and draw new ones from it."""
