"""Rewrites and adapters in the forms that other programs read.

A rewrite becomes plain text, chat messages, a LangChain prompt, a DSPy program's state, a promptfoo configuration or a
Python module; an adapter a merged model, a GGUF file or what Ollama builds a model from. Each form is a module.
"""

from fipo_model.export.forms import ADAPTER_FORMS, ONE_EACH, SUFFIXES, AdapterForm, Form, TextForm, Wishes, export
from fipo_model.export.reading import read_rewrites
from fipo_model.export.rewrite import Rewrite

__all__ = [
    "ADAPTER_FORMS",
    "ONE_EACH",
    "SUFFIXES",
    "AdapterForm",
    "Form",
    "Rewrite",
    "TextForm",
    "Wishes",
    "export",
    "read_rewrites",
]
