"""Which models there are: what a name stands for, the bases FIPO knows, and how their weights are fetched."""
