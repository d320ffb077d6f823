"""What the models are asked while a preference data set is collected (paper, section 3.2): texts and requests. Pure."""

from dataclasses import replace

from fipo_model.data.records import Record
from fipo_model.generation import Message
from fipo_model.templates import FIPO_1
from fipo_model.types import OptimizationRequest

# English takes about 1.4 tokens a word with today's vocabularies; 2 leaves room for code and other scripts.
_TOKENS_PER_WORD = 2

COLLECTION_1 = replace(
    FIPO_1,
    name="collection-1",
    optimizer_system=(
        "You write prompts for language models. You are shown a naive prompt, a silver response that it got and a "
        "golden response that it should have got. Write a better prompt, one that leads a model to a response as good "
        "as the golden one.\n"
        "Think of five things.\n"
        "1. Role. A first sentence that says who is to do this: somebody who is at home in such tasks.\n"
        "2. Kind of task. What it is, what is peculiar to it, and what it therefore calls for.\n"
        "3. Terms. Where a word can be taken in several ways, say which is meant.\n"
        "4. Guidance. The steps to take, the exceptions to mind, what comes first, what is not allowed.\n"
        "5. Response. How long it is to be, in which form, style, tone and language.\n"
        "Leave out what does not help this prompt. Keep every fact, name, number, quotation, piece of code and "
        "placeholder as it is. Do not answer the prompt, and give nothing of the golden response away: whoever reads "
        "your prompt must still have the whole task to do. Reply with the better prompt and nothing else."
    ),
    optimizer=(
        "Naive prompt:\n$naive_prompt\n\n${optional_parts}See what the naive prompt failed to ask for by comparing "
        "the two responses. Then write the better prompt in at most $max_words words."
    ),
)
"""FIPO's own wording of the paper's five points. The judge is asked as by `FIPO_1`."""


def ask_naively(record: Record) -> list[Message]:
    """The conversation whose reply is the silver or the golden response."""
    return [{"role": "user", "content": naive_prompt(record)}]


def naive_prompt(record: Record) -> str:
    """The instruction and the context it is applied to."""
    return record.instruction if record.context is None else f"{record.instruction}\n\n{record.context}"


def request_of(record: Record, max_words: int | None) -> OptimizationRequest:
    """What the rewriter and the judge see of a record."""
    return OptimizationRequest(
        record.instruction,
        context=record.context,
        silver_response=record.silver_response,
        golden_response=record.golden_response,
        max_words=max_words,
    )


def rewrite_tokens(record: Record, max_words: int | None) -> int:
    """The most tokens a rewrite may take: enough for the words it may have, and no surplus."""
    return _TOKENS_PER_WORD * request_of(record, max_words).word_limit + 16
