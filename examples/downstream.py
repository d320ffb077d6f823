"""The model that answers the prompts in these examples: any FIPO Generator, in the form LangChain expects.

For DSPy it is in dspy_lm.py.

In your own programs the downstream model is whatever you already use. Here it is the local model that also rewrites,
so that the examples run on a laptop without a network.
"""

import dspy

from fipo_integrations.langchain import GeneratorChatModel
from fipo_model import Generator
from fipo_model.backends.opening import open_generator


def base_model() -> Generator:
    """The default weights without FIPO's adapter, to answer what FIPO rewrites. Concurrent calls become batches."""
    return open_generator("default", role=None)


def langchain_model(generator: Generator, *, max_tokens: int = 80) -> GeneratorChatModel:
    """`prompt | langchain_model(generator)`: the generator as the chat model of a chain."""
    return GeneratorChatModel(generator=generator, max_tokens=max_tokens)


class PlainAdapter(dspy.Adapter):
    """Instruction and inputs as plain text, the whole reply as the one output field.

    DSPy's own adapters ask for a reply in sections or JSON, which a model of 135 million parameters cannot write.
    """

    def format(self, signature: type[dspy.Signature], demos: list[dict], inputs: dict) -> list[dict]:
        """The instruction as the system message, the inputs as the user's."""
        asked = "\n".join(f"{name}: {inputs[name]}" for name in signature.input_fields if name in inputs)
        return [{"role": "system", "content": signature.instructions}, {"role": "user", "content": asked}]

    def parse(self, signature: type[dspy.Signature], completion: str) -> dict[str, str]:
        """The reply, under the name of the output field."""
        (field,) = signature.output_fields
        return {field: completion.strip()}
