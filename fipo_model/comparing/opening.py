"""The model that answers: one in this process, or a server's."""

from fipo_model import Generator


def open_answerer(*, model: str | None, server: str | None, name: str | None) -> Generator:
    """Open the model of a spec, the one a server calls `name`, or by default the untrained weights.

    Threads that ask a model in this process at the same time share a batch.
    """
    if server is not None and name is not None:
        from fipo_model.backends.openai import OpenAIGenerator

        return OpenAIGenerator(server, name=name)
    from fipo_model.backends.opening import open_generator

    return open_generator(model, role=None)
