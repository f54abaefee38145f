"""The actors of a pole, one package each. What they may know of each other stands in pyproject."""
