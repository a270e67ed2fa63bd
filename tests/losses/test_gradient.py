"""The identity whose gradient is reversed."""

from __future__ import annotations

import pytest
import torch

from kdnotes import losses


@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0, 3.0])
def test_reverse_gradient_keeps_the_value_and_turns_the_gradient(strength):
    torch.manual_seed(0)
    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    factor = torch.randn(3, 2, dtype=torch.float64)
    y = losses.reverse_gradient(x, strength)
    assert torch.equal(y, x)
    (y.square() * factor).sum().backward()
    torch.testing.assert_close(x.grad, -strength * 2 * x.detach() * factor)


def test_reverse_gradient_is_full_by_default_and_touches_no_other_path():
    x = torch.tensor(3.0, requires_grad=True)
    # −x through the reversed factor, +x through the other
    (losses.reverse_gradient(x) * x).backward()
    assert x.grad == 3.0 - 3.0
    y = torch.tensor(2.0, requires_grad=True)
    losses.reverse_gradient(losses.reverse_gradient(y, 2.0), 3.0).backward()
    assert y.grad == 6.0
