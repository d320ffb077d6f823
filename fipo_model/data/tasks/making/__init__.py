"""Tasks made by rule: generators in the modules here, wordings, written by hand, in the TOML files beside them."""

from fipo_model.data.tasks.making.collecting import make_tasks

__all__ = ["make_tasks"]
