"""Whether the Hugging Face hub answers, found out before anything is asked of it.

The libraries' own attempts to reach a hub that is not there take a minute, and a screenful of their warnings.
"""

from fipo_model.errors import ModelError, explain_missing

with explain_missing("local", "httpx", "huggingface_hub"):
    import httpx
    import huggingface_hub
    from huggingface_hub.constants import is_offline_mode
    from huggingface_hub.errors import HFValidationError

_TIMEOUT = 10.0
# At least one of these is in the hub's cache if a model, or only its tokenizer, was fetched.
_FILES = ("config.json", "tokenizer_config.json", "tokenizer.json")


def ask_once(repository: str, file: str, *, revision: str | None = None) -> None:
    """Ask the hub for a file's headers, whatever they say. Raises what its client raises if there is no answer."""
    url = huggingface_hub.hf_hub_url(repository, file, revision=revision)
    huggingface_hub.get_session().head(url, timeout=_TIMEOUT)


def check_reachable(model: str) -> None:
    """Raise `ModelError` where a hub id has to be fetched and the hub does not answer.

    Nothing is asked where HF_HUB_OFFLINE is set, or the id is in the hub's cache.
    """
    try:
        if is_offline_mode() or any(huggingface_hub.try_to_load_from_cache(model, file) for file in _FILES):
            return
        ask_once(model, _FILES[0])
    except HFValidationError:  # not an id: its loader says so
        return
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise ModelError(
            f"{model!r} is neither a directory here nor in the hub's cache, and the hub cannot be reached "
            f"({type(error).__name__}: {error}). Copy the model here and name its directory, or name a mirror "
            "(HF_ENDPOINT)."
        ) from error
