"""Models in this process, on llama.cpp: GGUF files as they are, without torch."""
