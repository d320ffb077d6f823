"""A scripted model that tells how sure it is."""

from dataclasses import replace

from fipo_model.testing import ScriptedGenerator
from support.conversations import naive_in


def asked_in(conversation):
    """The prompt that the template asks to add to."""
    return naive_in(conversation).split("\n\nText to add:")[0]


class Telling(ScriptedGenerator):
    """Says how likely its replies were."""

    def __init__(self, reply, likelihood=-0.1):
        super().__init__(lambda conversation: reply if isinstance(reply, str) else reply[asked_in(conversation)])
        self.likelihood = likelihood

    def generate(self, conversations, sampling, *, samples=1):
        found = super().generate(conversations, sampling, samples=samples)
        return [[replace(one, log_likelihood=self.likelihood) for one in own] for own in found]
