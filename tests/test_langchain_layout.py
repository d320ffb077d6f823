"""optimize_prompt: what of a text is the instruction, what stays word for word, and where an addition goes."""

import time

import pytest
from langchain_core.prompts import (
    PromptTemplate,
)

from fipo_integrations.langchain import optimize_prompt
from fipo_integrations.langchain.variables import take_apart
from fipo_model import FIPO_2, PromptOptimizer
from fipo_model.testing import ScriptedGenerator
from support.langchain_prompts import asked, better, left_out, outcomes, rewrite


@pytest.fixture
def generator() -> ScriptedGenerator:
    return ScriptedGenerator(rewrite, context_tokens=500)


@pytest.fixture
def optimizer(generator: ScriptedGenerator) -> PromptOptimizer:
    return PromptOptimizer(generator)


SHOWN = "EXAMPLE\nI work with Sam, who sold me all of the bread that you see on the table.\nOut: Sam\nEND OF EXAMPLE"


class TestWhereAnInstructionEnds:
    @pytest.mark.parametrize(
        ("head", "rest"),
        [
            ("Sort the message.\n\nUse one word.", "\n\n<message>\n{text}\n</message>"),
            ("Answer the question below.", "\nQuestion:\n{text}"),
            ("Answer from the notes.", "\nThe notes that we found:\n{text}"),
            ("Answer from the notes.", "\n\nHere are the notes that we found:\n{text}"),
            ("Answer from the notes.", "\n\n# Notes\n\nThese are all we found:\n\n{text}"),
            ("Give the class of the text:\n- good\n- bad", "\n\nText: {text}"),
            ("Task: Shorten the text.", "\n\nText: {text}"),
            ("Answer only from these notes:", "\n{text}"),
            ("Use one of {labels} for the\ntext of {author}.", "\n\nText: {text}\nLabel:"),
            ("Fix the query in the fence.", "\nIt is meant to run on\n```sql\n{query}\n```"),
        ],
    )
    def test_what_leads_over_to_a_variable_stays_with_it(self, optimizer: PromptOptimizer, head: str, rest: str):
        new, _ = optimize_prompt(PromptTemplate.from_template(head + rest), optimizer=optimizer)
        assert new.template == better(head) + rest

    @pytest.mark.parametrize(
        "rest",
        [
            "\n\nReview: a great film\nMood: good\n\nReview: {text}\nMood:",
            "\n\nReview: a great film\n\nMood: good\n\nReview: {text}\n\nMood:",
            "\nReview: a film to see again\nMood: good\nReview: {text}\nMood:",
            "\n\nText:\nA great film.\nMood:\nGood.\n\nText:\n{text}\nMood:\n",
            "\n\nHere are examples of what to write:\n\nReview: a great film\nMood: good\n\nReview: {text}",
            "\n\nExample input: a great film\nExample output: good\n\nNow it is your turn.\n\nReview: {text}",
        ],
    )
    def test_examples_stay_whole_and_with_what_announces_them(self, optimizer: PromptOptimizer, rest: str):
        # The last example was once cut in half: its short answer was taken for what leads over to the variable.
        new, _ = optimize_prompt(PromptTemplate.from_template(f"Say the mood of a review.{rest}"), optimizer=optimizer)
        assert new.template == better("Say the mood of a review.") + rest

    @pytest.mark.parametrize(
        "text",
        [
            "You translate legal\ndocuments from German into {language} for\nlawyers.",
            "This query, delimited by backticks\n```\n{query}\n```\nis wrong. Give me a correct version.",
            "{text}\n\nSummarize what stands above.",
            "Question: What is the capital of Peru?\nAnswer: Lima\nQuestion: {text}\nAnswer:",
        ],
    )
    def test_a_text_that_does_not_end_in_data_is_rewritten_as_a_whole(self, generator: ScriptedGenerator, text: str):
        # Of a sentence wrapped over lines, the first line alone was once rewritten.
        optimize_prompt(PromptTemplate.from_template(text), optimizer=PromptOptimizer(generator))
        assert asked(generator) == [text]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("Summarize the following: {text}", "Summarize the following:\n\nKeep all names.\n\n{text}"),
            ("You help. Shorten this: {text}", "You help.\n\nKeep all names.\n\nShorten this: {text}"),
            ("Be brief. Note: {n} Question: {q}", "Be brief.\n\nKeep all names.\n\nNote: {n} Question: {q}"),
            ("Shorten it.\n\nText: {text}\nShort:", "Shorten it.\n\nKeep all names.\n\nText: {text}\nShort:"),
            ("Shorten it.\nText: {text}", "Shorten it.\n\nKeep all names.\n\nText: {text}"),
            ("Shorten {text}, please.", "Shorten {text}, please.\n\nKeep all names."),
            ("{text}\n\nShorten it.", "{text}\n\nShorten it.\n\nKeep all names."),
            ("Sum: 1+1\nAll: 2\nSum: {q}\nAll:", "Keep all names.\n\nSum: 1+1\nAll: 2\nSum: {q}\nAll:"),
            ("Judge it.\n\nThe verdict on {x} is", "Judge it.\n\nKeep all names.\n\nThe verdict on {x} is"),
            (
                f"List names.\n\n{SHOWN}\n\n{{text}}\nOut:",
                f"List names.\n\nKeep all names.\n\n{SHOWN}\n\n{{text}}\nOut:",
            ),
            ("Translate the text in\n```\n{text}\n```", "Keep all names.\n\nTranslate the text in\n```\n{text}\n```"),
        ],
    )
    def test_an_addition_comes_before_the_data(self, text: str, expected: str):
        adding = PromptOptimizer(ScriptedGenerator(lambda _: "Keep all names."), template=FIPO_2)
        new, report = optimize_prompt(PromptTemplate.from_template(text), optimizer=adding)
        assert outcomes(report) == [("template", "optimized")]
        assert new.template == expected

    @pytest.mark.parametrize(
        ("head", "rest"),
        [
            (
                "Find the facts.",
                "EXAMPLE\nIt is a state. It is famous for gold.\n\nOutput: (it, is, a state)\nEND OF EXAMPLE\n\n"
                "EXAMPLE\nI am going to the store.\n\nOutput: NONE\nEND OF EXAMPLE\n\nEXAMPLE\n{text}Output:",
            ),
            (
                "Give a command.",
                "Here are two examples:\n\nEXAMPLE 1:\n====\nPAGE:\n----\na page that has a link to a hotel "
                "and its price\n"
                "----\nGOAL: a bed\nYOUR COMMAND:\nTYPE bed\n====\n\nThe page and the goal follow. Reply with "
                "nothing but "
                "your next command to the browser.\n\nPAGE:\n----\n{page}\n----\n\nGOAL: {goal}\nYOUR COMMAND:",
            ),
            (
                "Remove what begins like another.",
                "Here are some examples:\n\nInput: a photo of a hill\nResult: a hill\n\nInput: a view of a "
                "sea\nResult: a sea\n\n"
                "Below is what you get:",
            ),
            (
                "Ask a question about it.",
                "Example Format:\n<Begin Page>\n...\n<End Page>\nQUESTION: the question here\n\nAsk in "
                "detail, and only what "
                "the page itself answers. Begin!\n\n<Begin Page>\n{page}\n<End Page>",
            ),
            (
                "Write a query.",
                "Use the following format:\n\n==== tables ====\n<some table names>\n\nQuestion: the "
                "question\nQuery: the query\n\n"
                "==== tables ====\n{tables}\n\nQuestion: {question}\nQuery:",
            ),
            ("Write a query.", "Schema:\n{schema}\n\nExamples (Optional):\n{examples}\n\nQuery:"),
            (
                "",
                "Q: Ann has 3 eggs, and gets 2. How many?\n\n# solution in Python:\n\ndef solution():\n    first = 3\n"
                "    more = 2\n    result = first + more\n    return result\n\nQ: {question}\n\n# solution in Python:",
            ),
            (
                "",
                "Question: Who is older?\nAre more questions needed here: Yes.\nMore: Who is Ann?\nReply: Ann is 7.\n"
                "More: Who is Bo?\nReply: Bo is 5.\nSo the answer is: Ann\n\n"
                "Question: {question}\nAre more questions needed here:{answer}",
            ),
        ],
    )
    def test_an_addition_comes_before_the_first_example(self, head: str, rest: str):
        # Where few-shot examples had blank lines in them, additions once went into the first one, or behind the last.
        adding = PromptOptimizer(ScriptedGenerator(lambda _: "Keep all names."), template=FIPO_2)
        text = f"{head}\n\n{rest}" if head else rest
        new, report = optimize_prompt(PromptTemplate.from_template(text), optimizer=adding)
        assert outcomes(report) == [("template", "optimized")]
        assert new.template == "\n\n".join(part for part in (head, "Keep all names.", rest) if part)

    def test_long_lines_take_no_time(self, optimizer: PromptOptimizer):
        # A pattern for what is to be filled in once tried every way to cut a word in six.
        for line in ("a" * 3000, "example of " * 3000, "example " * 3000, f"a{':' * 15_000}b"):
            text = f"Say the mood.\n\nQ: one\nQ: two\n\n{line}"
            start = time.process_time()
            optimize_prompt(PromptTemplate.from_template(text), optimizer=optimizer)
            assert time.process_time() - start < 2

    @pytest.mark.parametrize("count", [20, 40, 80])
    def test_a_line_of_many_labelled_variables_takes_no_time(self, count: int):
        # With 8 of them in a line that goes on, a process once hung.
        fields = " ".join(f"Field: {{value{number}}}" for number in range(count))
        for text in (f"Answer the question. {fields} Write one sentence", "ab:  {x}  , " * count * 4 + "zz zz zz"):
            start = time.process_time()
            assert take_apart(text, "f-string").instruction == text
            assert time.process_time() - start < 1

    def test_what_for_example_leads_to_stays_with_its_sentence(self):
        text = "Give the date.\n\nFor example:\n2 May\n\nNever give the year of it, and no weekday.\n\nText: {text}"
        adding = PromptOptimizer(ScriptedGenerator(lambda _: "Keep all names."), template=FIPO_2)
        new, _ = optimize_prompt(PromptTemplate.from_template(text), optimizer=adding)
        assert new.template == text.replace("Text:", "Keep all names.\n\nText:")

    def test_leading_lines_are_rewritten_alone_and_the_rest_is_their_context(self, generator: ScriptedGenerator):
        for form, field in (("f-string", "{text}"), ("mustache", "{{{text}}}")):
            head, rest = "Summarize the text below.\nBe brief.", f"\n\nText: {field}\nDate: 7 May\n"
            template = PromptTemplate.from_template(head + rest, template_format=form)
            new, report = optimize_prompt(template, optimizer=PromptOptimizer(generator))
            assert new.template == better(head) + rest
            assert outcomes(report) == [("template", "optimized")]
            assert asked(generator)[-1] == head
            shown = generator.calls[-1][0][-1]["content"]
            assert f"Context (it will follow the prompt, do not repeat it):\nText: {field}\nDate: 7 May\n\n" in shown

    def test_leading_lines_that_say_too_little_are_no_instruction(self, generator: ScriptedGenerator):
        for text in ("Question time:\n{question}\nAnswer it in a word.", "1 2 3 4\n{question} in a word, please."):
            new, _ = optimize_prompt(PromptTemplate.from_template(text), optimizer=PromptOptimizer(generator))
            assert asked(generator)[-1] == text
            assert new.template == better(text)

    def test_braces_of_leading_lines_read_as_they_will_be_rendered(self, generator: ScriptedGenerator):
        template = PromptTemplate.from_template('Answer as JSON, such as {{"a": 1}}, only.\n\nQ: {question}')
        new, _ = optimize_prompt(template, optimizer=PromptOptimizer(generator))
        assert asked(generator) == ['Answer as JSON, such as {"a": 1}, only.']
        assert new.format(question="{x}") == better('Answer as JSON, such as {"a": 1}, only.') + "\n\nQ: {x}"

    def test_a_documents_form_is_no_instruction(self, optimizer: PromptOptimizer):
        for text in (
            "Content: {page_content}\nSource: {source}",
            "<< Example {n}. >>\nQuery:\n{query}\n\nReply:\n```json\n{reply}\n```",
        ):
            form = PromptTemplate.from_template(text)
            new, report = optimize_prompt(form, optimizer=optimizer)
            assert new is form
            assert left_out(report) == [("template", "it has only labels besides its variables, and no instruction")]
