"""The embedded surnames, and a text file of the reader's own."""

from __future__ import annotations

import hashlib
import re

import numpy as np
import pytest

from kdnotes.assets import build_surnames
from kdnotes.data import corpora, load_corpus, surname_weights
from kdnotes.data.corpora import SURNAMES, SURNAMES_SHA256


def test_the_surnames_of_the_census():
    weights = surname_weights()
    assert len(weights) == 88_799 and list(weights) == sorted(weights)
    assert sum(weights.values()) == pytest.approx(1, abs=1e-12)
    assert max(weights, key=weights.get) == "SMITH"
    assert weights["SMITH"] / weights["JOHNSON"] == pytest.approx(1.006 / 0.810)
    rare = weights["AALDERINK"]
    assert rare == min(weights.values()) == weights["AALUND"]
    assert rare * 69_960 == pytest.approx(13.003 / (79.590 + 13.003))
    assert max(map(len, weights)) == 13


def test_its_checksum_is_that_of_the_file():
    assert hashlib.sha256(SURNAMES.read_bytes()).hexdigest() == SURNAMES_SHA256


def test_splits_of_surnames_share_no_name():
    corpus = load_corpus(train_strings=3000)
    parts = [set(part.text()) for part in (corpus.train, corpus.validation, corpus.test)]
    assert [len(part) for part in parts] == [3000, 2000, 4000]
    assert len(set.union(*parts)) == 9000 and set.union(*parts) <= set(surname_weights())
    assert corpus.vocabulary.classes == 27 and corpus.context == 14


@pytest.mark.parametrize("content", [b"", b"not an archive", None])
def test_a_damaged_file_is_refused(content, tmp_path, monkeypatch):
    path = tmp_path / "surnames.npz"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(corpora, "SURNAMES", path)
    surname_weights.cache_clear()
    try:
        with pytest.raises(ValueError, match="missing" if content is None else "damaged"):
            surname_weights()
    finally:
        surname_weights.cache_clear()


def test_the_build_refuses_another_table(tmp_path):
    table = tmp_path / "dist.all.last"
    table.write_text("SMITH          1.006  1.006      1\n", encoding="ascii")
    with pytest.raises(ValueError, match="not the table of the 1990 census"):
        build_surnames.build(table, tmp_path / "surnames.npz")


def test_the_build_writes_names_and_shares(tmp_path, monkeypatch):
    table = tmp_path / "dist.all.last"
    table.write_text("SMITH 1.006 1.006 1\nABE 0.000 1.006 2\n", encoding="ascii")
    digest = hashlib.sha256(table.read_bytes()).hexdigest()
    monkeypatch.setattr(build_surnames, "TABLE_SHA256", digest)
    build_surnames.build(table, tmp_path / "surnames.npz")
    with np.load(tmp_path / "surnames.npz") as file:
        assert file["names"].tobytes() == b"ABE\nSMITH"
        assert file["thousandths"].tolist() == [0, 1006]


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return f"text:{path}"


def test_a_text_file(tmp_path):
    lines = [f"line {number}" for number in range(30)]
    name = write(tmp_path / "a.txt", "\ufeff" + "\n".join([*lines, *lines, "", "  ", "x" * 100]))
    corpus = load_corpus(name, validation_strings=5, test_strings=5)
    strings = {
        one for part in (corpus.train, corpus.validation, corpus.test) for one in part.text()
    }
    assert strings == {*lines, "x" * 64, "x" * 36}
    assert set(corpus.vocabulary.characters) == set("line 0123456789x")


def test_wrong_texts(tmp_path):
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00\x80")
    symbols = "\n".join(chr(number) for number in range(0x4E00, 0x4E00 + 300))
    for name, said in (
        (f"text:{tmp_path / 'absent'}", "No such file"),
        (f"text:{tmp_path}", "must be 'text:PATH' of a text file"),
        (f"text:{binary}", "not UTF-8"),
        (write(tmp_path / "empty", ""), "empty' has no lines"),
        (write(tmp_path / "blank", " \n\t\n"), "blank' has no lines"),
        (write(tmp_path / "many", symbols), "at most 256 different characters, not 300"),
        (write(tmp_path / "short", "a\nb\n"), "but it has 2 different strings"),
        (write(tmp_path / "one", "a\n" * 9000), "but it has 1 different strings"),
        (write(tmp_path / "zero", "a\0b\n"), "not text: it holds characters of number 0"),
        ("text:~no-such-user/a.txt", "must be 'text:PATH' of a text file, not"),
        ("text:a\0b", "must be 'text:PATH' of a text file, not"),
    ):
        with pytest.raises(ValueError, match=re.escape(said)):
            load_corpus(name)


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (lambda: load_corpus("names"), ValueError, "name must be 'surnames' or 'text:PATH'"),
        (lambda: load_corpus("text:"), ValueError, "name must be 'surnames' or 'text:PATH'"),
        (lambda: load_corpus(3), TypeError, "name must be a string"),
        (
            lambda: load_corpus(train_strings=90_000),
            ValueError,
            "but it has 88,799 different strings",
        ),
        (lambda: load_corpus(subset_seed=-1), ValueError, "subset_seed must be at least 0"),
        (lambda: load_corpus(test_strings=1), ValueError, "test_strings must be at least 2"),
    ],
)
def test_wrong_calls(wrong, error, said):
    with pytest.raises(error, match=re.escape(said)):
        wrong()
