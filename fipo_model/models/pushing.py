"""A trained adapter or model on its way to the Hugging Face hub: what would be uploaded, and the upload."""

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from fipo_model.errors import InputError, ModelError, explain_missing
from fipo_model.models.names import second_adapter

with explain_missing("local", "httpx", "huggingface_hub"):
    import httpx
    from huggingface_hub import HfApi, ModelCard, constants
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

# The files that a loader of models reads. Logs, samples and checkpoints of a run hold its training prompts, and stay
# here.
_UPLOADED = (
    *("README.md", "LICENSE*", "*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json"),
    *("adapter_config.json", "fipo.json", "prompts.json", "tokenizer*", "special_tokens_map.json"),
    *("vocab.*", "merges.txt", "added_tokens.json", "chat_template.*"),
)
_NEEDED = ("base_model", "license", "pipeline_tag")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """Which files of the folder go to the hub, and which do not."""

    folder: Path
    repository: str
    files: tuple[Path, ...]
    left_behind: tuple[str, ...]

    @property
    def endpoint(self) -> str:
        """The hub's address."""
        return str(constants.ENDPOINT)

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(file.stat().st_size for file in self.files)


def planned_upload(folder: Path, repository: str) -> Upload:
    """What `push` would upload. Sends no request.

    Raises `InputError` for a folder without weights or without a model card that says what the hub must know.
    """
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise InputError(
            f"{repository!r} is not the name of a repository on the hub, such as OWNER/NAME: {error}"
        ) from error
    if not folder.is_dir():
        raise InputError(f"{folder} is not a directory; name one that `fipo train` or `fipo weights merge` wrote")
    second = second_adapter(folder)
    if second is not None and not second.is_dir():
        raise InputError(f"{folder / 'fipo.json'} names a second adapter, but {second} is not there")
    everything = sorted(folder.iterdir()) + ([] if second is None else sorted(second.iterdir()))
    files = [one for one in everything if one.is_file() and any(fnmatch(one.name, form) for form in _UPLOADED)]
    if not any(one.suffix == ".safetensors" for one in files):
        raise InputError(f"{folder} holds no weights (*.safetensors)")
    _check_card(folder / "README.md")
    left_behind = [str(one.relative_to(folder)) for one in everything if one not in files and one != second]
    return Upload(folder=folder, repository=repository, files=tuple(files), left_behind=tuple(left_behind))


def push(upload: Upload, *, is_public: bool = False) -> str:
    """Upload; returns the address of the repository, which is created if it is not there. Raises `ModelError`."""
    if constants.is_offline_mode():
        raise ModelError("HF_HUB_OFFLINE is set, so nothing is uploaded. Unset it and try again.")
    api = HfApi()
    try:
        made = api.create_repo(upload.repository, private=not is_public, exist_ok=True)
        api.upload_folder(
            repo_id=upload.repository,
            folder_path=upload.folder,
            allow_patterns=[str(file.relative_to(upload.folder)) for file in upload.files],
            commit_message="Upload with fipo",
        )
    except (HfHubHTTPError, LocalTokenNotFoundError) as error:
        raise ModelError(
            f"the hub refused the upload: {error}. It needs a token that may write to {upload.repository}: "
            "set HF_TOKEN, or log in with `hf auth login`."
        ) from error
    except (httpx.HTTPError, OSError) as error:
        raise ModelError(f"the hub at {upload.endpoint} cannot be reached ({type(error).__name__}: {error})") from error
    return str(made)


def _check_card(file: Path) -> None:
    if not file.is_file():
        raise InputError(f"{file} is missing: write a model card first (see docs/own-rewriter.md)")
    try:
        data = ModelCard.load(file).data.to_dict()
    except ValueError as error:
        raise InputError(f"the metadata of {file} cannot be read: {error}") from error
    if missing := [name for name in _NEEDED if not data.get(name)]:
        raise InputError(f"the metadata of {file} lacks {', '.join(missing)}, which the hub needs to list a model")
