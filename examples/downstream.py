"""The model that answers the prompts in the examples for LangChain: any FIPO Generator, in the form LangChain expects.

In your own programs the downstream model is whatever you already use. Here it is the local model that also rewrites,
so that the examples run on a laptop without a network.
"""

from fipo_integrations.langchain import GeneratorChatModel
from fipo_model import Generator
from fipo_model.backends.opening import open_generator


def base_model() -> Generator:
    """The default weights without FIPO's adapter, to answer what FIPO rewrites. Concurrent calls become batches."""
    return open_generator("default", role=None)


def langchain_model(generator: Generator, *, max_tokens: int = 80) -> GeneratorChatModel:
    """`prompt | langchain_model(generator)`: the generator as the chat model of a chain."""
    return GeneratorChatModel(generator=generator, max_tokens=max_tokens)
