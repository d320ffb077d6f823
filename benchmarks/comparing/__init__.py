"""The parts of `compare_chains.py`: a LangChain chain and its optimized twin, asked the same questions."""
