"""The machine: one thread inside, and a processor's name wherever it runs."""

from __future__ import annotations

import pathlib

import torch

from kdnotes import machine


def test_one_thread_inside_and_the_callers_number_after():
    threads = torch.get_num_threads()
    with machine.single_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == threads


def test_the_first_processors_fields_are_read_where_linux_tells_them(monkeypatch):
    text = "processor\t: 0\nmodel name\t: X 1\nflags\t\t: a b\n\nmodel name\t: Y\n"
    monkeypatch.setattr(pathlib.Path, "read_text", lambda self, encoding: text)
    assert (machine.cpuinfo("model name"), machine.cpuinfo("flags")) == ("X 1", "a b")
    assert machine.cpuinfo("Features") == "" and machine.processor() == "X 1"


def test_elsewhere_the_processor_is_named_by_its_architecture(monkeypatch):
    def missing(path, encoding):
        raise FileNotFoundError(path)

    monkeypatch.setattr(pathlib.Path, "read_text", missing)
    monkeypatch.setattr(machine.platform, "processor", lambda: "")
    monkeypatch.setattr(machine.platform, "machine", lambda: "arm64")
    assert machine.processor() == "arm64"
