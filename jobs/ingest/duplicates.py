"""Which documents repeat an earlier one.

In: a fingerprint for each document. Out: the documents to drop, each with the one that it repeats. Of two that are the
same the first by name is kept. It knows neither where fingerprints are kept nor what becomes of a document.

Near duplicates by MinHash (Broder 1997) over shingles of five words, found by locality-sensitive hashing (Indyk and
Motwani 1998) with datasketch. Bands are chosen so that of pairs at the threshold nine in ten are found; each pair found
is then compared by its whole signature, so what is dropped is that similar (to about 0.04, with 128 permutations).
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from plait.documents.parse import Document
from plait.recipes import DedupConfig

_PERMUTATIONS = 128
_SCHEME = "affine32"  # of datasketch: values fit 32 bits
_SHINGLE_WORDS = 5
_MISSES, _FALSE_ALARMS = 0.9, 0.1  # weights: a false alarm costs only a comparison
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
"""A word, or a character of a language that puts no blanks between words."""


@dataclass(frozen=True)
class Fingerprint:
    """What of a document tells whether another one is the same.

    Attributes:
        text: hash of its cleaned text; of a row also of its title.
        metadata: hash of its metadata: documents that filters tell apart are never the same.
        minhash: uint32 [128] as bytes; empty where only exact duplicates are looked for.
    """

    text: bytes
    metadata: bytes
    minhash: bytes = b""


def fingerprint(document: Document, config: DedupConfig) -> Fingerprint:
    """The fingerprint of a document. Blanks at its ends do not count."""
    text = f"{document.given_title}\n{document.text}".strip()
    metadata = json.dumps(document.metadata, sort_keys=True) if document.metadata else ""
    minhash = _minhash(text) if config.drop == "near" else b""
    return Fingerprint(_digest(text), _digest(metadata), minhash)


class Duplicates:
    """Finds for one document after the other an earlier one that it repeats.

    Given in the order of their names (`add_all`), the answers depend on nothing but the fingerprints. In another order,
    as documents come from several workers, they are a good guess: a document may be let through before the one that it
    repeats.
    """

    def __init__(self, config: DedupConfig) -> None:
        self._first: dict[tuple[bytes, bytes], str] = {}
        self._near = _NearDuplicates(config.threshold) if config.drop == "near" else None

    def add(self, source: str, fingerprint: Fingerprint) -> str | None:
        """The document with an earlier name that this one repeats; None: it repeats none, and others may repeat it.

        Asking again about the same document gives the same answer, unless one with an earlier name came meanwhile.
        """
        key = (fingerprint.text, fingerprint.metadata)
        first = self._first.get(key)
        if first is not None and first < source:
            return first
        near = self._near.add(source, fingerprint) if self._near else None
        if near is None:
            self._first[key] = source
        return near

    def add_all(self, fingerprints: Mapping[str, Fingerprint]) -> dict[str, str]:
        """The documents to drop, each with the one that it repeats and that is kept."""
        found = ((source, self.add(source, fingerprints[source])) for source in sorted(fingerprints))
        return {source: kept for source, kept in found if kept is not None}


class _NearDuplicates:
    def __init__(self, threshold: float) -> None:
        from datasketch import MinHashLSH

        self._threshold = threshold
        self._index: Any = MinHashLSH(threshold, _PERMUTATIONS, weights=(_FALSE_ALARMS, _MISSES))
        self._kept: dict[str, Fingerprint] = {}

    def add(self, source: str, fingerprint: Fingerprint) -> str | None:
        minhash = _as_minhash(fingerprint.minhash)
        found: list[str] = self._index.query(minhash)
        similar = [name for name in found if name < source and self._is_same(name, fingerprint)]
        if similar:
            return min(similar)
        if source not in self._kept:
            self._index.insert(source, minhash)
            self._kept[source] = fingerprint
        return None

    def _is_same(self, name: str, fingerprint: Fingerprint) -> bool:
        other = self._kept[name]
        mine, its = (np.frombuffer(f.minhash, np.uint32) for f in (fingerprint, other))
        return other.metadata == fingerprint.metadata and float(np.mean(mine == its)) >= self._threshold


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:16]


def _minhash(text: str) -> bytes:
    words = _WORD.findall(text.lower())
    places = range(max(1, len(words) - _SHINGLE_WORDS + 1))
    shingles = {" ".join(words[place : place + _SHINGLE_WORDS]).encode() for place in places}
    # Text without a word (a line of dashes) is like nothing but itself.
    minhash = _as_minhash(None)
    minhash.update_batch(sorted(shingles) if words else [text.encode()])
    return np.asarray(minhash.hashvalues, np.uint32).tobytes()


def _as_minhash(values: bytes | None) -> Any:
    from datasketch import MinHash

    held = None if values is None else np.frombuffer(values, np.uint32)
    return MinHash(_PERMUTATIONS, hashvalues=held, permutations=_permutations(), scheme=_SCHEME)


@cache
def _permutations() -> Any:
    """The same in every process: drawn from a fixed seed. Making them takes longer than all else."""
    from datasketch import MinHash

    return MinHash(_PERMUTATIONS, seed=1, scheme=_SCHEME).permutations
