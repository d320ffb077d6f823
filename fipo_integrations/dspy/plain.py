"""Prompts without DSPy's format, for language models that are too small to keep to it."""

from collections.abc import Mapping, Sequence
from typing import Any

import dspy
from dspy.adapters import Adapter

from fipo_model.errors import InputError


class PlainAdapter(Adapter):
    """Instruction, demos and inputs as plain text; the whole reply is the output, as text.

    `dspy.context(lm=..., adapter=PlainAdapter())` is for models of some hundred million parameters. DSPy's own adapters
    ask for replies in sections or in JSON, which a model of 135 million parameters cannot write. One of 500 million
    can: try DSPy's default first.

    The model does not see the fields' descriptions and types, nor the name of the output. So what is needed must be in
    the instruction. A predictor may have only one output: no `dspy.ChainOfThought`. Its type is not checked. Raises
    `InputError` for more outputs.
    """

    def format(
        self, signature: type[dspy.Signature], demos: Sequence[Mapping[str, Any]], inputs: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """The instruction opens the conversation; a demo is a turn of the user's and one of the model's."""
        answer = self.answer_of(signature)
        turns: list[dict[str, Any]] = []
        for demo in demos:
            if demo.get(answer):  # a demo made only from a label has nothing for the predictors before the last
                turns += [
                    {"role": "user", "content": _shown(signature, demo)},
                    {"role": "assistant", "content": str(demo[answer])},
                ]
        turns.append({"role": "user", "content": _shown(signature, inputs)})
        turns[0] = {**turns[0], "content": f"{signature.instructions}\n\n{turns[0]['content']}"}
        return turns

    def parse(self, signature: type[dspy.Signature], completion: str) -> dict[str, str]:
        """The reply under the name of the output field."""
        return {self.answer_of(signature): completion.strip()}

    def answer_of(self, signature: type[dspy.Signature]) -> str:
        """The field that the reply is."""
        fields = list(signature.output_fields)
        if len(fields) != 1:
            raise InputError(
                f"PlainAdapter takes the whole reply as one output, but this predictor has {', '.join(fields)}: use "
                "DSPy's default adapter, or a predictor with one output"
            )
        return fields[0]


def _shown(signature: type[dspy.Signature], values: Mapping[str, Any]) -> str:
    return "\n".join(f"{name}: {values[name]}" for name in signature.input_fields if name in values)
