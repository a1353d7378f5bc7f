"""Three engines with one meaning: array (the oracle), reduced (R^r) and dense (R^d)."""
