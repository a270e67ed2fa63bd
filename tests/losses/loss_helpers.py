"""What tests of losses share: random logits, closed forms, and how a difference is told."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

few = settings(max_examples=60, deadline=None)

temperatures = st.floats(0.5, 20)


def as_single(array):
    """The array in float64, rounded to what float32 holds.

    (Of an array with one number, ``np.float64(array)`` is a number in NumPy 2.0.)
    """
    return np.asarray(array).astype(np.float32).astype(np.float64)


@st.composite
def logits(draw, number=1, limit=1e4):
    """``number`` float64 arrays [batch, classes] of one shape, within ±limit."""
    shape = draw(st.tuples(st.integers(1, 6), st.integers(2, 12)))
    values = hnp.arrays(np.float64, shape, elements=st.floats(-limit, limit))
    return tuple(draw(values) for _ in range(number))


@st.composite
def labelled(draw, number=2, limit=50):
    """``number`` float64 tensors of logits and the targets of their rows."""
    arrays = draw(logits(number, limit))
    targets = draw(
        st.lists(
            st.integers(0, arrays[0].shape[1] - 1), min_size=len(arrays[0]), max_size=len(arrays[0])
        )
    )
    return (*(torch.from_numpy(array) for array in arrays), torch.tensor(targets))


def log_softmax(z, temperature=1.0):
    z = z / temperature
    top = z.max(axis=1, keepdims=True)
    return z - top - np.log(np.exp(z - top).sum(axis=1, keepdims=True))


def closed_kd(z_s, z_t, temperature):
    """T²·Σ p_t (log p_t − log p_s), one value a sample."""
    log_s, log_t = log_softmax(z_s, temperature), log_softmax(z_t, temperature)
    return temperature**2 * (np.exp(log_t) * (log_t - log_s)).sum(axis=1)


def random_case(rng, largest=(8, 100)):
    """A random shape, scale (up to ±1e4) and temperature."""
    shape = rng.integers(1, largest[0] + 1), rng.integers(2, largest[1] + 1)
    scale = 10.0 ** rng.uniform(-2, 4)
    z_s, z_t = (np.clip(scale * rng.standard_normal(shape), -1e4, 1e4) for _ in range(2))
    if rng.random() < 0.1:  # the extremes themselves
        z_s, z_t = (1e4 * np.sign(z) for z in (z_s, z_t))
    return z_s, z_t, float(rng.uniform(0.5, 20))


CASES = 1000


def relative(given, expected, least=1.0):
    return float(np.max(np.abs(np.asarray(given) - expected) / np.maximum(least, np.abs(expected))))


def say(capsys, text):
    with capsys.disabled():
        print(f"\n{text} ", end="")
