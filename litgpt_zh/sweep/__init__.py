"""Short complete trainings over a grid of one setting, and what they recommend."""
