import torch
from torch import nn

from samurai_batch.training.optimizer import Muon, orthogonalised


def test_an_orthogonalised_matrix_keeps_its_directions_and_evens_out_its_sizes() -> None:
    generator = torch.Generator().manual_seed(0)
    for shape in ((6, 20), (20, 6), (8, 8)):
        u, s, vh = torch.linalg.svd(torch.randn(shape, generator=generator), full_matrices=False)
        near = u.T @ orthogonalised(u @ torch.diag(s) @ vh) @ vh.T
        assert (near - torch.diag(near.diagonal())).abs().max() < 1e-4
        assert near.diagonal().min() > 0.4
        assert near.diagonal().max() < 1.4


def test_updates_are_those_of_pytorchs_muon_but_for_its_rounding() -> None:
    ours, torchs = (nn.Parameter(torch.linspace(-1, 1, 48).reshape(6, 8).sin()) for _ in range(2))
    optimizers = (
        Muon([ours], lr=0.02, weight_decay=0.05),
        torch.optim.Muon([torchs], lr=0.02, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
    )
    generator = torch.Generator().manual_seed(1)
    for _ in range(4):
        gradient = torch.randn(6, 8, generator=generator)
        for parameter, optimizer in zip((ours, torchs), optimizers, strict=True):
            parameter.grad = gradient.clone()
            optimizer.step()
    moved = (ours - torch.linspace(-1, 1, 48).reshape(6, 8).sin()).abs().mean()
    assert (ours - torchs).abs().mean() < 0.03 * moved
    assert optimizers[0].state_dict()["state"].keys() == optimizers[1].state_dict()["state"].keys()
    assert list(optimizers[0].state_dict()["state"][0]) == ["momentum_buffer"]
