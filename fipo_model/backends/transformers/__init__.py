"""Models in this process, on transformers and PEFT: generating, scoring, loading, merging."""
