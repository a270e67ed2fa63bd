"""Build surnames.npz, the embedded surnames, from the table of the 1990 US census.

The table, ``dist.all.last``, has a line for each of 88,799 surnames: name, share of the people in
per cent (three decimals), running total, rank. The U.S. Census Bureau published it; it is in the
public domain. The package ``names`` 0.3.0 carries it (``pip download --no-deps names==0.3.0``,
then ``names-0.3.0/names/dist.all.last`` of the archive). The bytes written depend on the zlib
version; the arrays do not.

    python -m kdnotes.assets.build_surnames names-0.3.0/names/dist.all.last
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np

from kdnotes.data.corpora import SURNAMES

TABLE_SHA256 = "b0e2b3743ccbad641ca48b344c24cdebcd1d9a1f76dc6dbf05986f2919f0b4e1"


def build(source: Path, target: Path = SURNAMES) -> str:
    """Write the archive and return its SHA-256.

    Raises:
        ValueError: the source is not the table that the embedded file was made from.
    """
    raw = source.read_bytes()
    if hashlib.sha256(raw).hexdigest() != TABLE_SHA256:
        raise ValueError(f"{source} is not the table of the 1990 census (its SHA-256 differs)")
    rows = sorted(line.split()[:2] for line in raw.decode("ascii").splitlines())
    names = "\n".join(name for name, _ in rows).encode("ascii")
    np.savez_compressed(
        target,
        names=np.frombuffer(names, np.uint8),
        thousandths=np.array([round(1000 * float(share)) for _, share in rows], np.uint16),
    )
    return hashlib.sha256(target.read_bytes()).hexdigest()


if __name__ == "__main__":
    print(build(Path(sys.argv[1])))
