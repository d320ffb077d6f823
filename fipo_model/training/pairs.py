"""Forward passes that compute only what a loss needs: the head only at labels, and each pair's prompt only once.

TRL's collator writes a preference pair as two rows that begin with the same prompt, and its fused head scores, on a
CPU, every position of both. Here the two rows become one (prompt, chosen, rejected; the rejected reply neither sees the
chosen one nor comes after it), and only the positions before a reply's token reach the head. The numbers are the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fipo_model.errors import explain_missing

with explain_missing("train", "torch", "transformers", "trl"):
    import torch
    from transformers import PreTrainedModel
    from trl.trainer.utils import FusedCausalLMOutput

_IGNORED = -100
# What TRL's losses and metrics read for every token.
_PER_TOKEN = ("log_probs", "entropy", "mean_logits", "is_top1", "log_sum_sq_probs")


@dataclass(frozen=True, slots=True)
class LabelledOnly:
    """`model` with its head computed at labelled positions only. What comes back is flat: (1, number of labels)."""

    model: Callable[..., Any]
    backbone: torch.nn.Module

    def __call__(self, *, labels: torch.Tensor | None = None, **inputs: Any) -> Any:
        """One fused forward pass. `labels`: (rows, length), -100 where there is nothing to predict."""
        if labels is None:  # a loss that wants all logits
            return self.model(**inputs)
        is_label = labels != _IGNORED
        is_label[:, 0] = False  # nothing comes before it
        rows, columns = is_label.nonzero(as_tuple=True)
        return _forward(self, inputs, (rows, columns - 1), labels[is_label])


@dataclass(frozen=True, slots=True)
class SharedPrompts:
    """`model` for batches of pairs, (2 * pairs, length), chosen rows first, that computes each prompt once.

    Outputs have the shape TRL expects of the batch it collated: (2 * pairs, length - 1), zero where there is no label.
    """

    model: Callable[..., Any]
    backbone: torch.nn.Module

    def __call__(
        self, *, input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor, **inputs: Any
    ) -> FusedCausalLMOutput:
        """One fused forward pass. `input_ids`, `attention_mask`, `labels`: (2 * pairs, length), padded on the right."""
        is_label = labels != _IGNORED
        pairs = len(labels) // 2
        prompt = is_label.int().argmax(dim=1)  # tokens before the first label, the same in both rows of a pair
        reply = attention_mask.sum(dim=1) - prompt
        chosen = reply[:pairs]
        packed = _pack(input_ids, prompt[:pairs], chosen, reply[pairs:])
        rows, columns = is_label.nonzero(as_tuple=True)
        before = columns - 1
        # A rejected reply's first token is predicted from the prompt's last one; its others moved right.
        moved = torch.where((rows >= pairs) & (before >= prompt[rows]), before + chosen[rows % pairs], before)
        output = _forward(self, {**inputs, **packed}, (rows % pairs, moved), labels[is_label])
        spread = {name: _spread(getattr(output, name), is_label[:, 1:]) for name in _PER_TOKEN}
        return FusedCausalLMOutput(loss=output.loss, label_mask=is_label[:, 1:], **spread)


def can_share_prompts(model: PreTrainedModel) -> bool:
    """Whether every layer attends through a mask of our making: full attention by torch's own kernel."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    is_plain = getattr(config, "sliding_window", None) is None and not hasattr(config, "state_size")
    return config._attn_implementation == "sdpa" and kinds == {"full_attention"} and is_plain


def _forward(
    scorer: LabelledOnly | SharedPrompts,
    inputs: dict[str, Any],
    places: tuple[torch.Tensor, torch.Tensor],
    labels: torch.Tensor,
) -> FusedCausalLMOutput:
    """The model's fused forward pass, with the hidden states at `places` as all that its head gets to see."""

    def keep_places(module: torch.nn.Module, inputs: Any, output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state[places][None]
        return output

    hook = scorer.backbone.register_forward_hook(keep_places)
    try:
        return scorer.model(shift_labels=labels[None], **inputs)
    finally:
        hook.remove()


def _pack(
    input_ids: torch.Tensor, prompt: torch.Tensor, chosen: torch.Tensor, rejected: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Rows of prompt, chosen, rejected, with positions and a mask under which neither reply knows of the other."""
    pairs = len(prompt)
    prompt, chosen, rejected = prompt[:, None], chosen[:, None], rejected[:, None]
    columns = torch.arange(int((prompt + chosen + rejected).max()), device=input_ids.device)[None]
    is_rejected = columns >= prompt + chosen
    is_chosen = (columns >= prompt) & ~is_rejected
    positions = torch.where(is_rejected, columns - chosen, columns).clamp(max=input_ids.shape[1] - 1)
    rows = torch.arange(pairs, device=input_ids.device)[:, None]
    # A padding token at the end attends to the prompt, so that its row is never without anything to attend to.
    sees = (columns[:, None] <= columns[:, :, None]) & ~(is_rejected[:, :, None] & is_chosen[:, None])
    return {
        "input_ids": input_ids[torch.where(is_rejected, rows + pairs, rows), positions],
        "position_ids": positions,
        "attention_mask": sees[:, None],
    }


def _spread(values: torch.Tensor | None, is_label: torch.Tensor) -> torch.Tensor | None:
    if values is None:
        return None
    return values.new_zeros(is_label.shape).masked_scatter(is_label, values)
