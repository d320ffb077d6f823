"""What may be rewritten in a template, and the template with other texts."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from langchain_core.prompts import BasePromptTemplate, ChatPromptTemplate

from fipo_integrations.langchain import choosing, forms
from fipo_integrations.langchain.marks import is_made, with_provenance
from fipo_integrations.langchain.prompts import Role
from fipo_integrations.langchain.report import Report, Unreached
from fipo_integrations.langchain.walking import NotRebuiltError, Slot, Template, mapped, seen, with_fields
from fipo_model import FixedForm


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What may be rewritten in a template, and what may not."""

    slots: tuple[Slot, ...] = ()
    unreached: tuple[Unreached, ...] = ()
    left_alone: tuple[Unreached, ...] = ()

    def completed(self, report: Report) -> Report:
        """A report with all that was found."""
        return replace(
            report,
            unreached=(*report.unreached, *self.unreached),
            left_alone=(*report.left_alone, *self.left_alone),
        )


def find(
    template: BasePromptTemplate, roles: tuple[Role, ...] | None, where: str = "", *, ahead: FixedForm | None = None
) -> Found:
    """The texts of a template that may be rewritten, in order, with their surroundings.

    `ahead` is what gives the reply its form behind the template. It knows better than the names of variables do.
    """
    is_chosen = _chooser(template, roles, where)
    alone = tuple(choosing.left_alone(template, roles, where))
    slots = seen(lambda look: mapped(template, is_chosen, look, where))
    if not slots and not alone:
        reason = f"FIPO does not know how a {type(template).__name__} keeps its text"
        if isinstance(template, ChatPromptTemplate):
            reason = "it has no messages"
        return Found(unreached=(Unreached(where=where, reason=reason),))
    try:
        mapped(template, is_chosen, lambda slot: f"{slot.text} ", where)
    except NotRebuiltError as error:
        return Found(unreached=(Unreached(where=where, reason=str(error)),), left_alone=alone)
    around = choosing.surroundings(template, where)
    slots = [
        replace(
            slot,
            is_made=slot.is_made or is_made(slot.text, template.metadata),
            context=choosing.context_of(slot, around),
            fixed_form=ahead or forms.by_template(template),
        )
        for slot in slots
    ]
    return Found(slots=tuple(slots), left_alone=alone)


def with_changes(template: Template, roles: tuple[Role, ...] | None, report: Report, where: str = "") -> Template:
    """The template with its rewritten texts; the same object if there are none."""
    new = {(change.where, change.naive): change.text for change in report.changes}
    is_chosen = _chooser(template, roles, where)
    made = mapped(template, is_chosen, lambda slot: new.get((slot.where, slot.text), slot.text), where)
    if made is template:
        return template
    own = [change for change in report.changes if change.where.startswith(where)]
    texts = [change.text for change in own if change.outcome == "optimized"]
    # Goes to the metadata of the template's runs, and tells FIPO which texts are its own.
    metadata = with_provenance(template.metadata, texts, [change.outcome for change in own])
    return with_fields(made, metadata=metadata)


def _chooser(template: BasePromptTemplate, roles: tuple[Role, ...] | None, where: str) -> Callable[[str], bool]:
    if not isinstance(template, ChatPromptTemplate):
        return lambda path: True
    reasons = choosing.chosen(template, roles, where)
    return lambda path: not reasons.get(path)
