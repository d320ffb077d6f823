"""What makes decoding quick on a CPU: matrix products in the order and the layout at which its libraries are fast."""

from fipo_model.errors import explain_missing

with explain_missing("local", "torch", "transformers"):
    import torch
    from torch import nn
    from transformers import PreTrainedModel

# Intel's MKL, torch's matrix library on x86, multiplies a skinny batch with a transposed weight at half the speed of
# the mirrored product, W @ x.T. Measured with torch 2.13 for every weight shape of the default model: 1.8 to 2.5 times
# for 16 to 48 rows, no gain below 8 and from 64 on. `benchmarks/test_speed.py` keeps the figure.
_FEWEST_ROWS = 8
_MOST_ROWS = 56


def compute_head_once(model: PreTrainedModel) -> None:
    """Let a model's head compute the last tokens of a batch in one product, in place.

    The head is given a slice of all tokens, which is not contiguous. Where its weights are frozen, as they are under
    an adapter and after one is merged, torch 2.13 then multiplies row by row, on a copy of the weights for each row
    (pytorch/pytorch#186148): with the default weights 54 MiB a row in bf16, and for 16 rows two thirds of the time to
    the first token.
    """
    if (head := model.get_output_embeddings()) is not None:  # type: ignore[no-untyped-call]
        head.register_forward_pre_hook(lambda module, inputs: (inputs[0].contiguous(), *inputs[1:]))


def mirror_linear_layers(model: nn.Module) -> None:
    """Let the linear layers of an fp32 model on the CPU compute decoding batches the quick way round, in place."""
    if not torch.backends.mkl.is_available():  # type: ignore[no-untyped-call]
        return
    for module in model.modules():
        if type(module) is nn.Linear and module.weight.device.type == "cpu" and module.weight.dtype == torch.float32:
            module.__class__ = _MirroredLinear


class _MirroredLinear(nn.Linear):
    # A class rather than a method put on each layer: layer and method would hold each other, and a model nobody uses
    # any more would stay in memory until Python looks for cycles.
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x` has the shape (..., in_features)."""
        rows = x.reshape(-1, self.in_features)
        if torch.is_grad_enabled() or not _FEWEST_ROWS <= len(rows) <= _MOST_ROWS:
            return super().forward(x)
        product = (self.weight @ rows.t()).t().contiguous()  # attention is slow on any other layout
        if self.bias is not None:
            product = product + self.bias
        return product.reshape(*x.shape[:-1], self.out_features)
