"""What tells chains apart when a search is resumed."""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.output_parsers import PydanticOutputParser, StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableBranch, RunnableLambda, RunnableParallel
from pydantic import BaseModel

from fipo_integrations.langchain.identity import identity

PROMPT = ChatPromptTemplate.from_messages([("human", "Answer {question}.")])


class Listed(BaseRetriever):
    k: int = 4
    documents: Sequence[Document] = ()

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return list(self.documents[: self.k])


class Placed(FakeListChatModel):
    base_url: str = ""


class Due(BaseModel):
    due: str


class Amount(BaseModel):
    amount: float


def model() -> FakeListChatModel:
    return FakeListChatModel(responses=["4"])


def ending(text: str) -> Runnable:
    return RunnableLambda(lambda said: said + text)


def function(source: str) -> RunnableLambda:
    names: dict[str, Any] = {"__name__": __name__}
    exec(source, names)
    return RunnableLambda(names["f"])


CHAINS: dict[str, Callable[[Any], Runnable]] = {
    "what surrounds a function": lambda value: PROMPT | model() | ending(value),
    "a global of a function": lambda value: model() | function(f"K = {value!r}\ndef f(x): return K"),
    "a helper of a function": lambda value: model() | function(f"def g(x): return {value!r}\ndef f(x): return g(x)"),
    "a default": lambda value: model() | function(f"def f(x, k={value!r}): return k"),
    "an argument of a partial": lambda value: model() | RunnableLambda(functools.partial(max, value)),
    "the key of a getter": lambda value: model() | RunnableLambda(operator.itemgetter(value)),
    "the keys of a parallel": lambda value: RunnableParallel({value: model(), "z": StrOutputParser()}),
    "the number of documents": lambda value: Listed(k=len(value)) | PROMPT,
    "the documents": lambda value: Listed(documents=[Document(value)]) | PROMPT,
    "the address of a model": lambda value: PROMPT | Placed(responses=["4"], base_url=f"http://{value}"),
    "a setting that is bound": lambda value: PROMPT | model().bind(stop=[value]),
    "a condition": lambda value: RunnableBranch((lambda x: x == value, model()), StrOutputParser()),
}


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_all_that_decides_what_a_chain_says_tells_it_from_another(chain):
    assert identity(chain("a")) == identity(chain("a"))
    assert identity(chain("a")) != identity(chain("bb"))


def test_the_schema_of_a_parser_counts():
    due, amount = (PROMPT | model() | PydanticOutputParser(pydantic_object=kind) for kind in (Due, Amount))
    assert identity(due) != identity(amount)


def test_what_a_chain_remembers_and_whose_key_it_has_do_not_count():
    store: dict[str, list[str]] = {}

    def remember(said: Any) -> Any:
        store.setdefault("user", []).append(str(said))
        return said

    chain = PROMPT | model() | RunnableLambda(remember)
    before = identity(chain)
    chain.invoke({"question": "2 + 2"})
    assert store
    assert identity(chain) == before
    keyed = [PROMPT | model().bind(extra_headers={"Authorization": key}) for key in "ab"]
    assert identity(keyed[0]) == identity(keyed[1])
