"""Outputs whose form a type, a schema or a parser fixes: no rewrite may ask for another."""

import time

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.output_parsers import (
    BaseOutputParser,
    CommaSeparatedListOutputParser,
    JsonOutputParser,
    PydanticOutputParser,
    PydanticToolsParser,
    StrOutputParser,
)
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.prompts.structured import StructuredPrompt
from langchain_core.runnables import RunnableLambda, RunnableParallel
from pydantic import BaseModel

from fipo_integrations.langchain import FIPORunnable, optimize_chain, optimize_prompt
from fipo_model import OptimizationRequest, PromptOptimizer
from fipo_model.contract.case import Case
from fipo_model.contract.formed import forms_fixed_otherwise, without_form
from fipo_model.contract.schemas import has_schema
from fipo_model.errors import InputError
from fipo_model.store import RewriteStore
from fipo_model.testing import ScriptedGenerator
from support.conversations import naive_in

PROMPT = "is this a complaint"
CONTRARY = "Judge whether it is a complaint. Answer yes or no."
ONLY_CONTRARY = "Answer with the verdict and nothing else."
SCHEMA = '{"properties": {"due": {"type": "string"}, "amount": {"type": "number"}}}'


def verdict(addition: str = ONLY_CONTRARY, prompt: str = PROMPT, **options: object) -> tuple[str, str]:
    optimizer = PromptOptimizer(ScriptedGenerator(lambda _: ""))
    found = optimizer.rewriter.check(f"{prompt}\n\n{addition}", OptimizationRequest(prompt, **options))
    return found.outcome, found.detail


@pytest.mark.parametrize(
    ("addition", "form", "said"),
    [
        (CONTRARY, None, ""),
        (CONTRARY, "value", ""),
        (CONTRARY, "fields", "Answer yes"),
        ("Judge whether it is a complaint and reply with the verdict.", "fields", "reply with the verdict"),
        ("Say whether it is a complaint and nothing else.", "value", ""),
        ("Say whether it is a complaint and nothing else.", "fields", "nothing else"),
        ("Give only the verdict.", "fields", "Give only the verdict"),
        ("Write each complaint on its own line.", None, ""),
        ("Write each complaint on its own line.", "value", "each complaint on its own line"),
        ("Write the complaint as a number.", "value", "as a number"),
        ("Judge whether the customer is unhappy with the product or the service.", "fields", ""),
        # Words for forms and for "alone" that are of the task.
        ("Say whether the customer lives alone.", "fields", ""),
        ("Find the customer who complained alone.", "fields", ""),
        ("Decide whether he acted alone or with others.", "fields", ""),
        ("State the stage of the colon cancer.", "value", ""),
        ("Say which pipes are leaking.", "value", ""),
        ("Find the complaint in the HTML.", "fields", ""),
        ("Put a comma before every group of digits.", "value", ""),
        ("Give only the complaint that is the oldest.", "fields", ""),
        ("Judge it with the facts in the notes alone.", "fields", ""),
        ("Rely on nothing else than the mail.", "fields", ""),
        ("Answer with the facts in the mail, and say so when it has none.", "fields", ""),
    ],
)
def test_what_is_said_of_a_form_that_something_else_fixes(addition, form, said):
    found = forms_fixed_otherwise(Case(f"{PROMPT}\n\n{addition}", OptimizationRequest(PROMPT, fixed_form=form)))
    assert found == ((said and f"says {said!r}, but types or a schema give the outputs their form") or None)


@pytest.mark.parametrize(
    ("addition", "left"),
    [
        (CONTRARY, "Judge whether it is a complaint."),
        ("Judge whether it is a complaint and reply with the verdict.", "Judge whether it is a complaint."),
        ("Judge whether the mail complains, and give only it.", "Judge whether the mail complains, and give it."),
        ("Judge whether it is a complaint. Say yes or no.", "Judge whether it is a complaint."),
        ("Judge whether the mail complains and reply with the complaint.", "Judge whether the mail complains."),
        ("Judge whether it is a complaint: yes or no.", "Judge whether it is a complaint."),
        ('Judge whether it is a complaint. Your answer must be "yes" or "no".', "Judge whether it is a complaint."),
        ("Judge whether it is a complaint. Answer simply yes or no.", "Judge whether it is a complaint."),
        ("Judge whether it is a complaint. Reply in a table.", "Judge whether it is a complaint."),
        ("Judge whether it is a complaint. Answer in prose.", "Judge whether it is a complaint."),
        ("Judge whether it is a complaint. Just the verdict.", "Judge whether it is a complaint."),
        ("Judge whether it is a complaint. The verdict is the whole answer.", "Judge whether it is a complaint."),
        ("Judge whether it is a complaint; the verdict alone is wanted.", "Judge whether it is a complaint."),
        ("Name the complaint in the mail by itself.", "Name the complaint in the mail."),
        ("Output nothing but the customer's complaint.", "Output the customer's complaint."),
        ("Name the complaint in the mail, without any other text.", "Name the complaint in the mail."),
        ("Name the complaint by itself.", None),  # it would be the prompt once more
        (
            "List the complaints, one per line, in the order of the mail.",
            "List the complaints, in the order of the mail.",
        ),
        ("Rank the complaints and put them in a table.", "Rank the complaints."),
        ('Quote the complaints, separated by ", ".', "Quote the complaints."),
        ("State the topic and nothing else about it.", "State the topic."),
        ("Give the topic alone.", "Give the topic."),
        ("Judge it, and answer yes or no. Explain nothing else. Be brief.", "Judge it. Be brief."),
        ("Copy the date, and omit the other parts.", "Copy the date, and omit the other parts."),
        ("Reply with the verdict alone.", None),
        ("Write each complaint on its own line, without its date.", None),  # "Write, without its date."
        # What asks for more than a form cannot be cut alone.
        ("Find the name and give its date and reply with the year.", None),
        ("Judge it and answer true only if every part is supported.", None),
        ("Judge it and reply with the topic alone, choosing refund when both apply.", None),
        ("Say yes or no: does it ask for a refund? Give no reason.", None),
    ],
)
def test_an_addition_loses_what_it_says_of_a_fixed_form_and_no_more(addition, left):
    optimizer = PromptOptimizer(ScriptedGenerator(lambda _: ""))
    found = optimizer.rewriter.check(f"{PROMPT}\n\n{addition}", OptimizationRequest(PROMPT, fixed_form="fields"))
    if left is None:
        assert found.outcome == "form_contradicted"
    else:
        assert (found.outcome, found.text) == ("optimized", f"{PROMPT}\n\n{left}")
        assert found.detail == ("" if left == addition else "without what it said of the form")


@pytest.mark.parametrize(
    ("addition", "left"),
    [
        (
            'Write the earliest date as a JSON object with the keys "due" and "amount", each a string.',
            "Write the earliest date.",
        ),
        ('Write the due date as a JSON object with the keys "due" and "amount", each a string.', None),
        (
            "Find the amount that is due, and write it as a float between 0 and 1.",
            "Find the amount that is due, and write it.",
        ),
        ("State whether it is late as a bool.", "State whether it is late."),
        (
            "Count the lines of the JSON object and write the amount.",
            "Count the lines of the JSON object and write the amount.",
        ),
    ],
)
def test_a_schema_is_said_once(addition, left):
    optimizer = PromptOptimizer(ScriptedGenerator(lambda _: ""))
    request = OptimizationRequest("due date", context=f"The reply is JSON by this schema: {SCHEMA}")
    found = optimizer.rewriter.check(f"due date\n\n{addition}", request)
    assert (found.outcome, found.text) == (
        ("optimized", f"due date\n\n{left}") if left else ("form_contradicted", f"due date\n\n{addition}")
    )


@pytest.mark.parametrize("form", ["fields", "value"])
@pytest.mark.parametrize(
    ("prompt", "addition", "left"),
    [
        # What must not be done would be the task itself.
        ("names", "List the names in the mail. Do not write the names in capitals.", "List the names in the mail."),
        ("dates", "Find the dates; never return the dates as text.", None),
        ("dates", "Find the dates and do not write them in a table.", None),
        ("date", "Find the date. Avoid giving the date in words.", None),
        ("text", "Ignore the text in brackets.", None),
        ("names", "Exclude the names between brackets.", None),
        ("lines", "Skip lines with tabs.", None),
        ("amounts", "Do not count amounts in brackets.", None),
        ("date", "Under no circumstances, return the date as a string.", None),
        ("date", "You must not guess and give the date as a string.", None),
        ("names", "Names must not be listed, as a table.", None),
        ("names", "Please do not give the names, in capitals.", None),
        # Nothing but what not to do would be left, or what speaks of the part that was cut.
        ("number", "Find the number in brackets. Ignore dates.", None),
        ("guests", "For every guest, write the name, a comma, and the table.", None),
        ("total", "The numbers are separated by commas. Add them up.", None),
        ("truth", "Say whether it is right and give the reason in one sentence.", None),
        # The form is one of the inputs.
        ("words", "Extract all words, in quotes.", None),
        ("vowels", "Give the word back with its vowels as capitals.", None),
        # When it is to be done.
        ("due date", "Give the due date only if it is written as a number.", None),
        ("date", "If the date is in words, convert it.", None),
        # The form is what the task is about.
        ("number to words", "Convert the number into words.", "Convert the number into words."),
        ("spell out the number", "Convert the number into words.", None),
        ("uppercase the title", "Convert the title into capital letters.", None),
        ("convert to bullet points", "Rewrite the text as bullet points.", "Rewrite the text as bullet points."),
        ("markdown", "Write the content in Markdown.", "Write the content in Markdown."),
        ("sort", "Treat the values as numbers and sort them.", None),
        ("clean", "Remove what is in brackets.", None),
        ("letters", "Split the text into sentences and count the letters in each.", None),
        ("which words", "List the words with hyphens.", None),
        # What is left would be no English.
        ("length", "Give the length of the word, counted in letters.", None),
        ("format", "Name the format by its usual name, such as HTML.", None),
        ("list a", "List the names that do not occur in list B and enclosed in quotation marks.", None),
        ("translate", "Translate the list and keep each entry on its own line.", None),
        ("month", "The date has the month as a word.", None),
        ("number", "Give the number, which is in digits, as a word and add nothing.", None),
        ("names", "From each JSON object take the name; list all of them.", None),
        ("namen", "Nenne die Namen und schreibe sie nicht in HTML.", None),
    ],
)
def test_no_task_is_cut_with_a_form(prompt, addition, left, form):
    optimizer = PromptOptimizer(ScriptedGenerator(lambda _: ""))
    found = optimizer.rewriter.check(f"{prompt}\n\n{addition}", OptimizationRequest(prompt, fixed_form=form))
    assert found.text in (f"{prompt}\n\n{left or addition}", prompt)
    assert (found.outcome == "optimized") == (left is not None)


@pytest.mark.parametrize(
    ("addition", "left"),
    [
        ("Say where the animal lives and add no further comment.", "Say where the animal lives."),
        ("Say where the animal lives and include no other text.", "Say where the animal lives."),
        ("Say where the animal lives, with no further comment.", "Say where the animal lives."),
        ("Rewrite the code without comments.", "Rewrite the code without comments."),
        ("Answer the question and cite the passage.", "Answer the question and cite the passage."),
        ("Check if the answer is yes.", "Check if the answer is yes."),
        ("Say whether the box holds the key and nothing else.", None),
        ("Say whether there is nothing else.", "Say whether there is nothing else."),
        ("Correct the mistakes and change nothing else.", "Correct the mistakes and change nothing else."),
        ("Copy the name, with no other word and no punctuation.", None),
        ("Name the city, with no further information and no street.", None),
    ],
)
def test_what_is_said_of_fields_is_cut_with_its_verb_or_stays(addition, left):
    optimizer = PromptOptimizer(ScriptedGenerator(lambda _: ""))
    found = optimizer.rewriter.check(f"do it\n\n{addition}", OptimizationRequest("do it", fixed_form="fields"))
    assert (found.outcome, found.text) == (
        ("optimized", f"do it\n\n{left}") if left else ("form_contradicted", f"do it\n\n{addition}")
    )


@pytest.mark.parametrize("form", ["Answer yes or no.", "Reply in one word.", "Return it as JSON."])
def test_what_is_said_of_the_form_is_cut_before_another_rule_objects_to_it(form):
    outcome, detail = verdict(f"Find out whether the mail complains. {form}", "mail", fixed_form="fields")
    assert (outcome, detail) == ("optimized", "without what it said of the form")


@pytest.mark.parametrize("many", ["and give the verdict ", "separated by commas, ", "alone ", '", ', "give the the "])
def test_a_long_addition_is_read_quickly(many):
    started = time.process_time()
    without_form(Case(f"{PROMPT}\n\nJudge it {many * 1000}", OptimizationRequest(PROMPT, fixed_form="fields")))
    assert time.process_time() - started < 3


def test_a_full_rewrite_is_refused_whole():
    optimizer = PromptOptimizer(ScriptedGenerator(lambda _: ""))
    request = OptimizationRequest(PROMPT, fixed_form="fields")
    assert optimizer.rewriter.check("Is this a complaint? Answer yes or no.", request).outcome == "form_contradicted"


@pytest.mark.parametrize(
    ("prompt", "context"),
    [
        (f"{PROMPT}\n{{format_instructions}}", None),
        (PROMPT, f"The reply is JSON by this schema: {SCHEMA}"),
        (f"{PROMPT}\nThe output must conform to this JSON schema.", None),
    ],
)
def test_a_schema_beside_the_prompt_fixes_the_form_unasked(prompt, context):
    assert verdict(prompt=prompt, context=context)[0] == "form_contradicted"


@pytest.mark.parametrize(
    "prompt",
    [
        "Explain what a JSON schema is.",
        "Write a JSON schema for a customer.",
        "Return a JSON schema.",
        "Does this config match the JSON schema?",
        "Reply yes if the config matches the JSON schema.",
        "Check whether each payload conforms to the JSON schema and say which field is wrong.",
        "Answer with the field that does not match the schema.",
        "Explain why the response does not match the JSON schema.",
        f"List the required fields of this schema: {SCHEMA}",
        f"Convert this JSON schema to a TypeScript interface.\n{SCHEMA}",
        "Explain this schema to a beginner.\n\n{json_schema}",
        'Where is this? {"type": "Feature", "properties": {"name": {"en": "Ghent"}}}',
        'Explain this mapping: {"mappings": {"properties": {"title": {"type": "text"}}}}',
        "Write a blog post on how to validate input by JSON schema.",
        "Write the SQL query.\n\nSchema: {schema}",
        "Correct the format of this: {format}",
    ],
)
def test_a_prompt_about_schemas_has_none(prompt):
    assert not has_schema(prompt)


@pytest.mark.parametrize(
    "said",
    [
        f"Return JSON that validates against this schema: {SCHEMA}",
        "Reply by the following schema:",
        "Find the date, and then respond only with a JSON object that conforms to the schema.",
        "Please return a single JSON object matching this JSON schema.",
        "The answer must be valid JSON according to the schema below.",
        "Your reply should follow this schema.",
        "Format your answer as JSON by {json_schema}",
        "Return a JSON object with the keys due and amount.",
        "Output JSON with exactly two fields: due and amount.",
        'Respond in this format: {"due": "...", "amount": 0}',
        'Answer in JSON of this form:\n```json\n{{"due": "..."}}\n```',
        "{output_format}",
        "{{response_schema}}",
        "${format_instructions}",
        "{json_schema}",
    ],
)
def test_what_asks_for_replies_by_a_schema_gives_one(said):
    assert has_schema(f"Extract due date and amount.\n{said}")
    assert has_schema(f"Extract due date and amount.\n\n{said}\n\nMail: {{mail}}")


def test_the_instructions_of_parsers_give_one():
    parsers = pytest.importorskip("langchain_classic.output_parsers", reason="needs langchain-classic")
    field = parsers.ResponseSchema(name="topic", description="what it is about")
    for parser in (
        PydanticOutputParser(pydantic_object=Ticket),
        parsers.YamlOutputParser(pydantic_object=Ticket),
        parsers.StructuredOutputParser.from_response_schemas([field]),
    ):
        assert has_schema(parser.get_format_instructions())
    assert not has_schema(CommaSeparatedListOutputParser().get_format_instructions())


def test_what_the_prompt_itself_says_of_the_form_may_be_said_again():
    prompt = "is this a complaint? as JSON"
    said = "Judge whether it is a complaint and write that as JSON."
    assert verdict(said, prompt, fixed_form="fields")[0] != "form_contradicted"


def test_values_are_of_the_types_that_the_schema_has():
    context = f"The reply is JSON by this schema: {SCHEMA}"
    said = "Write the values as strings."
    assert verdict(said, "due date and amount", context=context) == (
        "form_contradicted",
        "says 'as strings', but types or a schema give the outputs their form",
    )


def test_another_word_for_a_form_is_an_error():
    with pytest.raises(InputError, match='fixed_form must be "value", "fields" or None'):
        OptimizationRequest(PROMPT, fixed_form="json")


class Ticket(BaseModel):
    topic: str
    reason: str


class Upper(BaseOutputParser[str]):
    """Reads any text."""

    def parse(self, text: str) -> str:
        return text.upper()


class Broken(Upper):
    """Cannot say how it is to be written."""

    def get_format_instructions(self) -> str:
        raise ValueError("not yet")


class Flag(Upper):
    """Reads one value, and says how it is to be written."""

    def get_format_instructions(self) -> str:
        return "Write YES or NO."


MODEL = FakeListChatModel(responses=["no"])
ONE = ChatPromptTemplate.from_messages([("system", PROMPT), ("human", "{mail}")])
READS_TICKETS = PydanticOutputParser(pydantic_object=Ticket)


def optimizer() -> PromptOptimizer:
    return PromptOptimizer(ScriptedGenerator(lambda asked: f"{naive_in(asked)}\n\n{ONLY_CONTRARY}"))


@pytest.mark.parametrize(
    ("behind", "is_used"),
    [
        (MODEL, True),
        (MODEL | StrOutputParser(), True),
        (MODEL | Upper(), True),
        (MODEL | Broken(), True),
        (MODEL | Flag(), True),  # one value, which may stand alone
        (MODEL | CommaSeparatedListOutputParser(), True),
        (MODEL | READS_TICKETS, False),
        (MODEL | JsonOutputParser(), False),
        (MODEL | PydanticToolsParser(tools=[Ticket]), False),
        (MODEL | RunnableLambda(lambda said: said) | READS_TICKETS, False),
        (RunnableParallel(ticket=MODEL | READS_TICKETS), False),
    ],
)
def test_the_parser_behind_a_prompt_fixes_its_form(behind, is_used):
    _, report = optimize_chain(ONE | behind, optimizer=optimizer())
    (change,) = report.changes
    assert change.outcome == ("optimized" if is_used else "form_contradicted")


@pytest.mark.parametrize("behind", [MODEL | READS_TICKETS, MODEL | StrOutputParser()])
def test_so_does_the_one_that_is_passed_as_what_comes_after_a_template(behind):
    _, report = optimize_prompt(ONE, optimizer=optimizer(), downstream=behind)
    is_free = isinstance(behind.last, StrOutputParser)
    assert report.changes[0].outcome == ("optimized" if is_free else "form_contradicted")


def test_a_parser_is_that_of_the_prompts_before_it():
    first, second = ONE | MODEL | StrOutputParser(), PromptTemplate.from_template(f"{PROMPT}\n{{mail}}") | MODEL
    chain = {"mail": first} | (second | READS_TICKETS)
    _, report = optimize_chain(chain, optimizer=optimizer())
    assert [change.outcome for change in report.changes] == ["optimized", "form_contradicted"]


@pytest.mark.parametrize(
    "template",
    [
        lambda: ChatPromptTemplate.from_messages([("system", PROMPT), ("human", "{mail}\n\n{format_instructions}")]),
        lambda: PromptTemplate.from_template(f"{PROMPT}\n\n{{mail}}\n\n{{format_instructions}}"),
        lambda: ONE.partial(output_schema=SCHEMA),
        lambda: StructuredPrompt([("system", PROMPT), ("human", "{mail}")], Ticket),
    ],
)
@pytest.mark.filterwarnings("ignore:The class `StructuredPrompt` is in beta")
def test_a_template_with_a_place_for_a_parsers_instructions_has_its_form(template):
    _, report = optimize_prompt(template(), optimizer=optimizer())
    assert report.changes[0].outcome == "form_contradicted"


def test_at_run_time_too():
    template = ChatPromptTemplate.from_messages([("system", PROMPT), ("human", "{mail}\n\n{format_instructions}")])
    values = {"mail": "It is broken.", "format_instructions": "Write JSON."}
    after = (template | FIPORunnable(optimizer=optimizer())).invoke(values)
    assert after == template.invoke(values)


def test_a_runnable_is_told_what_it_cannot_see():
    told, untold = (FIPORunnable(optimizer=optimizer(), fixed_form=form) for form in ("fields", None))
    assert (ONE | told).invoke({"mail": "Hello"}) == ONE.invoke({"mail": "Hello"})
    assert ONLY_CONTRARY in (ONE | untold).invoke({"mail": "Hello"}).to_messages()[0].content


def test_a_store_tells_prompts_of_different_forms_apart(tmp_path):
    store = RewriteStore(tmp_path / "rewrites.jsonl")
    free, _ = optimize_chain(ONE | MODEL, optimizer=optimizer(), store=store)
    _, report = optimize_chain(ONE | MODEL | READS_TICKETS, optimizer=optimizer(), store=store)
    assert report.changes[0].outcome == "form_contradicted"
    assert free is not None
