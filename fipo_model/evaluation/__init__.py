"""How good rewrites are: naive prompts against optimized ones and controls."""
