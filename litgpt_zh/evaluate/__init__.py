"""Score cards: does a model do what it is asked, does it end, does it repeat itself, how well does it predict."""
