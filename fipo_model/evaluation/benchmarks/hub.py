"""The benchmarks as data sets on the Hugging Face hub, in the shape of our files."""

from collections.abc import Iterator

from fipo_model.errors import InputError, explain_missing
from fipo_model.evaluation.benchmarks.cards import BenchmarkCard
from fipo_model.evaluation.benchmarks.rows import Located

with explain_missing("eval", "datasets"):
    from datasets import get_dataset_config_names, load_dataset


def read(card: BenchmarkCard) -> Iterator[Located]:
    """The rows of a benchmark, streamed. Raises `InputError` if they cannot be fetched."""
    wanted = card.hub
    try:
        configs = [wanted.config] if wanted.config else get_dataset_config_names(wanted.name)
        for config in configs:
            rows = load_dataset(wanted.name, config, split=wanted.split, revision=wanted.revision, streaming=True)
            task = {} if wanted.config else {"task": config}
            prefix = "-".join([card.name, *task.values()])
            for number, row in enumerate(rows):
                yield (
                    f"{wanted.name}, {config}, {wanted.split}, row {number}",
                    {"id": f"{prefix}-{number}", **task, **wanted.normalise(row)},
                )
    except Exception as error:
        # Anything from the network, a file format or the library itself; the cause is kept.
        raise InputError(f"the data set {wanted.name} cannot be read: {type(error).__name__}: {error}") from error
