"""Generators: the only places, besides training, evaluation and weights, that import heavy libraries."""
