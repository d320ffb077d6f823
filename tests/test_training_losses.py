"""The losses are TRL's and the papers', whatever is done to compute them faster."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from fipo_model.training.pairs import can_share_prompts
from fipo_model.training.run import make_config
from fipo_model.training.trainers import PreferenceTrainer, RewritingTrainer

pytestmark = [
    pytest.mark.tiny,
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning"),
]

# Replies of several lengths, one longer than the other in both directions, a shared beginning, and a single letter.
PAIRS = [
    ("Name a colour.", "Name a colour that is seldom seen.", "A colour."),
    ("Tell a long story about a very small, quiet town.", "A", "B"),
    ("Which prompt is better, A or B?", "Which one?", "Which prompt is better, and in what way is it better?"),
    ("Invent a word.", "Invent a word for a town.", "Invent a word for a very small town, and keep it quiet."),
]
ROWS = [
    {
        "prompt": [{"role": "system", "content": "You compare."}, {"role": "user", "content": prompt}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
        "length": len(prompt) + len(chosen) + len(rejected),
    }
    for prompt, chosen, rejected in PAIRS
]


def adapted(directory: Path, **changes: Any) -> Any:
    """The tiny model with an adapter that does something: its second matrix is not zero."""
    torch.manual_seed(1)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(directory, **changes),
        LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear", init_lora_weights=False),
    )
    return model.eval()


def trainer(cls: Any, model: Any, directory: Path, output: Path, rows: list[Any] = ROWS, **settings: Any) -> Any:
    kind = SFTConfig if issubclass(cls, SFTTrainer) else DPOConfig
    values = {"output_dir": str(output), "bf16": False, "report_to": "none", "use_cpu": True, "max_length": None}
    values |= {"per_device_train_batch_size": 4, "gradient_checkpointing": False, "disable_tqdm": True}
    made = cls(
        model=model,
        args=make_config(kind, values | settings),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(directory),
    )
    move(made.model)  # away from the reference, which is the adapter as it was
    return made


def move(model: Any) -> None:
    """What training does, in one step and always the same."""
    generator = torch.Generator().manual_seed(2)
    for name, parameter in model.named_parameters():
        if ".default." in name:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)


def batch_of(trainer: Any) -> Any:
    rows = [{k: v for k, v in row.items() if k.endswith("ids") or k == "labels"} for row in trainer.train_dataset]
    return trainer.data_collator(rows)


def loss_and_gradients(trainer: Any) -> tuple[float, dict[str, torch.Tensor]]:
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, batch_of(trainer))
    loss.backward()
    return loss.item(), {n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("loss", ["sigmoid", "ipo", "hinge", "apo_zero", "sppo_hard", "nca_pair"])
def test_a_shared_prompt_changes_neither_loss_nor_gradient(tiny_model: Path, tmp_path: Path, loss: str) -> None:
    settings = {"loss_type": loss, "beta": 0.5}
    theirs = trainer(DPOTrainer, adapted(tiny_model), tiny_model, tmp_path, **settings)
    ours = trainer(PreferenceTrainer, adapted(tiny_model), tiny_model, tmp_path, **settings)
    assert can_share_prompts(ours.model)
    (their_loss, their_gradients), (our_loss, our_gradients) = loss_and_gradients(theirs), loss_and_gradients(ours)
    assert our_loss == pytest.approx(their_loss, rel=1e-4)
    assert our_gradients.keys() == their_gradients.keys() != set()
    for name, gradient in their_gradients.items():
        torch.testing.assert_close(our_gradients[name], gradient, rtol=1e-3, atol=1e-4 * gradient.abs().max().item())
    for metric in ("rewards/margins", "logps/chosen", "logps/rejected", "logits/rejected", "entropy"):
        assert ours._metrics["eval"][metric] == pytest.approx(theirs._metrics["eval"][metric], rel=1e-3, abs=1e-4)


def log_likelihoods(model: Any, directory: Path, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum of the log-probabilities of a reply's tokens, and their number, one row at a time."""
    tokenizer = AutoTokenizer.from_pretrained(directory)
    sums, numbers = [], []
    for row in ROWS:
        before = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, tokenize=False)
        whole = tokenizer.apply_chat_template(row["prompt"] + row[part], tokenize=False)
        ids = tokenizer(whole, return_tensors="pt", add_special_tokens=False)["input_ids"]
        start = len(tokenizer(before, add_special_tokens=False)["input_ids"])
        with torch.no_grad():
            log_probs = model(ids).logits.log_softmax(-1)[0, start - 1 : -1]
        sums.append(log_probs.gather(1, ids[0, start:, None]).sum())
        numbers.append(ids.shape[1] - start)
    return torch.stack(sums), torch.tensor(numbers)


def test_the_losses_are_the_papers(tiny_model: Path, tmp_path: Path) -> None:
    model = adapted(tiny_model)
    chosen, chosen_tokens = log_likelihoods(model, tiny_model, "chosen")
    rejected, rejected_tokens = log_likelihoods(model, tiny_model, "rejected")
    chosen, rejected = -chosen, -rejected  # of the reference
    move(model)
    chosen = chosen + log_likelihoods(model, tiny_model, "chosen")[0]
    rejected = rejected + log_likelihoods(model, tiny_model, "rejected")[0]
    assert (chosen - rejected).abs().min() > 0.01
    beta = 0.3
    # Rafailov et al. 2023, equation 7; Azar et al. 2023, equation 17, on sums and on means.
    dpo = -torch.nn.functional.logsigmoid(beta * (chosen - rejected)).mean().item()
    ipo_of_sums = ((chosen - rejected - 1 / (2 * beta)) ** 2).mean().item()
    ipo_of_means = ((chosen / chosen_tokens - rejected / rejected_tokens - 1 / (2 * beta)) ** 2).mean().item()
    for loss, sums, expected in (("sigmoid", False, dpo), ("ipo", True, ipo_of_sums), ("ipo", False, ipo_of_means)):
        ours = trainer(PreferenceTrainer, adapted(tiny_model), tiny_model, tmp_path, loss_type=loss, beta=beta)
        ours.sums_log_ratios = sums
        assert loss_and_gradients(ours)[0] == pytest.approx(expected, rel=1e-3), (loss, sums)


def test_precomputed_reference_log_probabilities_give_the_same_loss(tiny_model: Path, tmp_path: Path) -> None:
    losses = []
    for precompute in (False, True):
        ours = trainer(
            PreferenceTrainer, adapted(tiny_model), tiny_model, tmp_path, precompute_ref_log_probs=precompute
        )
        rows = [{k: v for k, v in row.items() if "ids" in k or "logps" in k} for row in ours.train_dataset]
        losses.append(ours.compute_loss(ours.model, ours.data_collator(rows)).item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_a_model_that_cannot_share_prompts_trains_all_the_same(tiny_model: Path, tmp_path: Path) -> None:
    eager = trainer(PreferenceTrainer, adapted(tiny_model, attn_implementation="eager"), tiny_model, tmp_path, beta=0.5)
    shared = trainer(PreferenceTrainer, adapted(tiny_model), tiny_model, tmp_path, beta=0.5)
    assert not can_share_prompts(eager.model)
    assert loss_and_gradients(eager)[0] == pytest.approx(loss_and_gradients(shared)[0], rel=1e-4)


def test_the_head_at_labels_only_changes_neither_loss_nor_gradient(tiny_model: Path, tmp_path: Path) -> None:
    rows = [{"prompt": row["prompt"], "completion": row["chosen"], "length": 1} for row in ROWS]
    theirs = trainer(SFTTrainer, adapted(tiny_model), tiny_model, tmp_path, rows)
    ours = trainer(RewritingTrainer, adapted(tiny_model), tiny_model, tmp_path, rows)
    (their_loss, their_gradients), (our_loss, our_gradients) = loss_and_gradients(theirs), loss_and_gradients(ours)
    assert our_loss == pytest.approx(their_loss, rel=1e-5)
    for name, gradient in their_gradients.items():
        torch.testing.assert_close(our_gradients[name], gradient, rtol=1e-3, atol=1e-4 * gradient.abs().max().item())
    for metric, values in theirs._metrics["eval"].items():
        assert ours._metrics["eval"][metric] == pytest.approx(values, rel=1e-4)


@pytest.mark.parametrize(("loss", "sums"), [("sigmoid", False), ("ipo", True), ("ipo", False), ("hinge", False)])
def test_in_bf16_a_loss_is_that_of_fp32_but_for_rounding(
    tiny_model: Path, tmp_path: Path, loss: str, sums: bool
) -> None:
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        settings = {"loss_type": loss, "beta": 0.1, "bf16": dtype is torch.bfloat16}
        ours = trainer(PreferenceTrainer, adapted(tiny_model, dtype=dtype), tiny_model, tmp_path, **settings)
        ours.sums_log_ratios = sums
        found.append(loss_and_gradients(ours))
        assert {gradient.dtype for gradient in found[-1][1].values()} == {torch.float32}  # what is trained stays exact
    (exact_loss, exact), (rounded_loss, rounded) = found
    assert rounded_loss == pytest.approx(exact_loss, rel=0.05)
    assert rounded_loss != exact_loss
    whole, other = (torch.cat([gradients[name].flatten() for name in exact]) for gradients in (exact, rounded))
    assert torch.cosine_similarity(whole, other, dim=0) > 0.95
