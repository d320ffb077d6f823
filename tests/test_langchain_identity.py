"""What tells chains apart when a search is resumed."""

import functools
import importlib.util
import operator
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.output_parsers import PydanticOutputParser, StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableBranch, RunnableLambda, RunnableParallel
from pydantic import BaseModel, Field

from fipo_integrations.langchain.identity import identity

PROMPT = ChatPromptTemplate.from_messages([("human", "Answer {question}.")])


class Listed(BaseRetriever):
    k: int = 4
    documents: Sequence[Document] = ()

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return list(self.documents[: self.k])


class Counting(Listed):
    calls: int = 0
    seen: list[str] = Field(default_factory=list)

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        self.calls += 1
        self.seen.append(query)
        return []


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
    "the address of a model": lambda value: PROMPT | Placed(responses=["4"], base_url=f"http://{value}"),
    "a setting that is bound": lambda value: PROMPT | model().bind(stop=[value]),
    "a condition": lambda value: RunnableBranch((lambda x: x == value, model()), StrOutputParser()),
}


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_all_that_decides_what_a_chain_says_tells_it_from_another(chain):
    assert identity(chain("a")) == identity(chain("a"))
    assert identity(chain("a")) != identity(chain("bb"))


def test_the_code_of_callable_objects_and_of_own_runnables_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = (
        "from langchain_core.runnables import Runnable, RunnableLambda\n"
        "class Step:\n    def __call__(self, said):\n        return said + {0!r}\n"
        "class Own(Runnable):\n    def invoke(self, said, config=None, **_):\n        return said + {1!r}\n"
        "chain = RunnableLambda(Step()) | Own()\n"
    )
    said = []
    for number, texts in enumerate([("a", "a"), ("a", "a"), ("b", "a"), ("a", "b")]):
        file = tmp_path / f"chain{number}.py"
        file.write_text(source.format(*texts), encoding="utf-8")
        spec = importlib.util.spec_from_file_location("own_chain", file)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "own_chain", module)
        spec.loader.exec_module(module)
        said.append(identity(module.chain)["chain"])
    assert said[0] == said[1]
    assert len(set(said)) == 3


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
    counting = Counting()
    before = identity(counting | PROMPT)
    counting.invoke("a")
    assert counting.calls
    assert identity(counting | PROMPT) == before
    keyed = [PROMPT | model().bind(extra_headers={"Authorization": key}) for key in "ab"]
    assert identity(keyed[0]) == identity(keyed[1])


def test_a_chain_with_a_history_is_the_same_before_and_after_it_ran_and_in_every_process(tmp_path: Path):
    code = """
        from langchain_core.chat_history import InMemoryChatMessageHistory
        from langchain_core.language_models.fake_chat_models import FakeListChatModel
        from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
        from langchain_core.runnables.history import RunnableWithMessageHistory
        from fipo_integrations.langchain.identity import identity

        prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("before"), ("human", "{question}")])
        histories = {}
        def history(session_id): return histories.setdefault(session_id, InMemoryChatMessageHistory())
        chain = RunnableWithMessageHistory(
            prompt | FakeListChatModel(responses=["4"]),
            history, input_messages_key="question", history_messages_key="before",
        )
        print(identity(chain))
        chain.invoke({"question": "2 + 2"}, config={"configurable": {"session_id": "a"}})
        print(identity(chain))
    """
    program = tmp_path / "program.py"  # what a function changes is read from its source
    program.write_text(textwrap.dedent(code), encoding="utf-8")
    said = [
        subprocess.run(
            [sys.executable, str(program)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.splitlines()
        for seed in "12"
    ]
    assert len({line for lines in said for line in lines}) == 1
    assert [len(lines) for lines in said] == [2, 2]
