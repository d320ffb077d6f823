"""FIPO inside other frameworks: `fipo_integrations.langchain` and `fipo_integrations.dspy`."""
