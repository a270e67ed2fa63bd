"""The configuration of a training."""

from __future__ import annotations

from kdnotes.training import Config


def test_config_is_a_value():
    assert Config() == Config() and hash(Config()) == hash(Config()) and Config(seed=1) != Config()
