"""A LangChain chain and its optimized twin, asked the same questions."""

from fipo_model.errors import explain_missing

with explain_missing("compare", "langchain_core"):
    import langchain_core  # noqa: F401 - asked for first, so that its absence is explained
