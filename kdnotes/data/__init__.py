"""Data sets as tensors in memory, fixed augmented views of images, and strings as tokens."""

from kdnotes.data.brackets import Brackets, bracket_corpus
from kdnotes.data.corpora import load_corpus, strings_of, surname_weights
from kdnotes.data.pairs import PairVocabulary, frequent_pairs, recut
from kdnotes.data.shifts import shift
from kdnotes.data.sources import load
from kdnotes.data.splits import Split, Splits, split_key
from kdnotes.data.strings import Corpus, Strings, Vocabulary
from kdnotes.data.views import Views
from kdnotes.files import cache_folder

__all__ = [
    "Brackets", "Corpus", "PairVocabulary", "Split", "Splits", "Strings", "Views", "Vocabulary",
    "bracket_corpus", "cache_folder", "frequent_pairs", "load", "load_corpus", "recut", "shift",
    "split_key", "strings_of", "surname_weights",
]  # fmt: skip
