"""How much a label would change a network: the length of its gradient, expected over the classes it may turn out to be."""

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from alloop.models.architectures import Classifier

__all__ = ["batch_for", "expected_gradient_lengths"]

LEFT_OUT = 0.001
"""Classes are taken from the likeliest on until less than this probability is left, as the source takes the N best."""
GRADIENT_NUMBERS = 2**25
"""Numbers in the gradients that are held at once: 128 MiB as float32."""
LARGEST_BATCH = 32
"""Measured 2026-11 on the small network at 64 px: 64 images at once are slower than 32 on one and on two threads."""


def batch_for(network: Classifier) -> int:
    """How many images to take at once: each has gradients as large as the network."""
    parameters = sum(part.numel() for part in network.parameters())
    return max(1, min(LARGEST_BATCH, GRADIENT_NUMBERS // max(1, parameters)))


def expected_gradient_lengths(network: Classifier, batch: Tensor) -> Tensor:
    """Length of the loss's gradient in all parameters, each class weighted by its probability: (B, 3, S, S) to (B,).

    The network must be in evaluation mode. Source: Settles & Craven 2008, An Analysis of Active Learning Strategies for
    Sequence Labeling Tasks.
    """
    parameters = {name: part.detach() for name, part in network.named_parameters()}
    buffers = dict(network.named_buffers())

    def loss(parameters: dict[str, Tensor], image: Tensor, class_number: Tensor) -> Tensor:
        logits, _ = functional_call(network, (parameters, buffers), (image[None],))
        return functional.cross_entropy(logits, class_number[None])

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))
    with torch.no_grad():
        shares, classes = network(batch)[0].softmax(dim=1).sort(dim=1, descending=True)
    expected = torch.zeros(len(batch), device=batch.device)
    for rank in range(shares.shape[1]):
        with sdpa_kernel(SDPBackend.MATH):  # the other kernels of attention cannot be batched by vmap
            parts = gradients(parameters, batch, classes[:, rank])
        squared = torch.stack([part.flatten(start_dim=1).square().sum(dim=1) for part in parts.values()])
        expected += shares[:, rank] * squared.sum(dim=0).sqrt()
        if shares[:, rank + 1 :].sum(dim=1).max() < LEFT_OUT:
            break
    return expected
