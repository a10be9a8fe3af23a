"""Near-duplicate bands of prompt templates: who has no like text learns nothing of a text.

The algorithm `minhash128/w3/bands32x4/hmac64/normalise-v1`, whole:

1. normalise-v1: of a long text the first and the last 16,384 characters; NFKC, case folded, format
   characters and combining marks out; each run of digits is one 0; words are runs of letters and
   digits, and each ideograph, kana, Thai, Lao, Khmer or Burmese letter is a word
2. w3: each three neighbouring words are a shingle. A word is the first 8 octets of its BLAKE2b
   (`person` weir-minhash-v1), a shingle the upper half of the mixed sum of three (`_mixed`)
3. template: the shingles that at least half of its prompts hold, of 8 prompts or more, so that
   what is filled into slots falls out; of fewer than 8 such shingles nothing is made
4. minhash128: for each i of 0..127 the least of (a[i] * shingle + b[i]) mod 2**32 over all
   shingles, a[i] (made odd) and b[i] from SHA-256 of `weir-minhash-v1/i`
5. bands32x4: four neighbours of these, big-endian, are a band
6. hmac64: the first 16 hex digits of HMAC-SHA256(key, number of the band as one octet || band)

Two templates are near where two or more bands of equal number are equal.

All of it is defined here, and no package has a say: a member's bands meet another's whatever
versions they run. (`rensa` is as fast, but its permutations are its own and change with it.) With
numpy it runs some twenty times as fast as without, with the same result.

The key of step 6 is one for all members of the forum in a quarter, and outsiders cannot have it: it
is derived from the token of a fixed public value, which a member gets like any token, blindly,
within its quota (`KEY_KIND`, `KEY_VALUE`, `key_of`). The kind is one that no extract carries.
"""

import hmac
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b, sha256
from itertools import accumulate, chain
from typing import Any

try:
    import numpy

    HAS_NUMPY = True
except ImportError:  # the extras bring it
    HAS_NUMPY = False

ALGORITHM = "minhash128/w3/bands32x4/hmac64/normalise-v1"
PERMUTATIONS = 128
BANDS = 32
ROWS = 4
NEAR = 2  # equal bands
PROMPTS = 8
FEWEST_SHINGLES = 8
HALF = 16_384

# What a member asks a token for, in the forum's circle and the quarter of the day (`key_epoch`).
KEY_KIND = "legal-entity"
KEY_VALUE = "weir/band-key/v1"

Array = Any  # of numpy
Signature = tuple[int, ...]
Shingles = frozenset[int]

_NAME = b"weir-minhash-v1"
_MASK = 2**32 - 1
_MASK64 = 2**64 - 1
# Odd, from the fractions of pi and e: nothing up the sleeve.
_FACTORS = (0x243F6A8885A308D3, 0xB7E151628AED2A6B, 0x9E3779B97F4A7C15)
_MIXES = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # of splitmix64
# Scripts written without spaces between the words.
_ALONE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff"
_WORD = re.compile(f"[{_ALONE}]|[^\\W_{_ALONE}]+")
_ASCII_WORD = re.compile("[a-z0-9]+")
_DIGITS = re.compile(r"\d+")
_MOST_WORDS = 200_000


def _permutations() -> tuple[tuple[int, int], ...]:
    digests = (sha256(_NAME + f"/{i}".encode()).digest() for i in range(PERMUTATIONS))
    return tuple(
        (int.from_bytes(one[:4], "big") | 1, int.from_bytes(one[4:8], "big")) for one in digests
    )


_PERMUTATIONS = _permutations()


class _Words(dict[str, int]):
    """The number of a word, remembered; a log with ever new words does not fill the memory."""

    def __missing__(self, word: str) -> int:
        if len(self) >= _MOST_WORDS:
            self.clear()
        digest = blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8, person=_NAME)
        number = self[word] = int.from_bytes(digest.digest(), "big")
        return number


_words = _Words()


# --- one text ------------------------------------------------------------------------------------


def words(text: str) -> list[str]:
    """normalise-v1: the words of a text."""
    if len(text) > 2 * HALF:
        text = f"{text[:HALF]} {text[-HALF:]}"
    if text.isascii():
        return _ASCII_WORD.findall(_DIGITS.sub("0", text.lower()))
    text = unicodedata.normalize("NFKC", text).casefold()
    # Zero-width characters between letters would make each copy another text; so would accents.
    spread = unicodedata.normalize("NFD", text)
    text = "".join(char for char in spread if unicodedata.category(char) not in ("Cf", "Mn"))
    return _WORD.findall(_DIGITS.sub("0", unicodedata.normalize("NFC", text)))


def shingles(text: str) -> Shingles:
    """The shingles of a text, as numbers: no word is left in them."""
    numbers = [_words[word] for word in words(text)]
    return frozenset(map(_mixed, numbers, numbers[1:], numbers[2:]))


def _mixed(one: int, two: int, three: int) -> int:
    x = (one * _FACTORS[0] + two * _FACTORS[1] + three * _FACTORS[2]) & _MASK64
    x = (x ^ (x >> 30)) * _MIXES[0] & _MASK64
    x = (x ^ (x >> 27)) * _MIXES[1] & _MASK64
    return (x ^ (x >> 31)) >> 32


def consensus(prompts: Sequence[Iterable[int]]) -> Shingles | None:
    """What at least half of the prompts have in common, or None where it is too little to say."""
    if len(prompts) < PROMPTS:
        return None
    counts = Counter(chain.from_iterable(set(one) for one in prompts))
    common = frozenset(one for one, count in counts.items() if count * 2 >= len(prompts))
    return common if len(common) >= FEWEST_SHINGLES else None


def signature(found: Iterable[int]) -> Signature | None:
    """The 128 minima of a set of shingles; None of an empty one."""
    listed = list(found)
    if not listed:
        return None
    if HAS_NUMPY:
        return tuple(map(int, _minima(numpy.array(listed, dtype="uint32"), [0])[0]))
    return tuple(min((a * x + b) & _MASK for x in listed) for a, b in _PERMUTATIONS)


def bands(minima: Sequence[int]) -> tuple[bytes, ...]:
    """The 32 bands of a signature, in clear: they never leave home."""
    octets = b"".join(int(one).to_bytes(4, "big") for one in minima)
    return tuple(octets[i : i + 4 * ROWS] for i in range(0, len(octets), 4 * ROWS))


# --- many texts ----------------------------------------------------------------------------------


def signatures(texts: Sequence[str]) -> list[Signature | None]:
    """The signature of each text, None of one with fewer than three words; fast with numpy."""
    if not HAS_NUMPY:
        return [signature(shingles(text)) for text in texts]
    made: list[Signature | None] = []
    for start in range(0, len(texts), 256):
        made.extend(_batch(texts[start : start + 256]))
    return made


def _batch(texts: Sequence[str]) -> list[Signature | None]:
    made: list[Signature | None] = [None] * len(texts)
    places, minima, _ = sketches(texts)
    for number, row in zip(places, minima.tolist(), strict=True):
        made[number] = tuple(row)
    return made


def sketches(texts: Sequence[str]) -> tuple[list[int], Array, list[Array]]:
    """Where the texts stand that have a signature, theirs as rows, and their shingles.

    With numpy only, and for some hundred texts at a time.
    """
    each = [words(text) for text in texts]
    lengths = [len(one) for one in each]
    flat = numpy.fromiter(
        map(_words.__getitem__, chain.from_iterable(each)), dtype="uint64", count=sum(lengths)
    )
    places = [number for number, length in enumerate(lengths) if length > 2]
    if not places:
        return [], numpy.empty((0, PERMUTATIONS), dtype="uint32"), []
    begins = list(accumulate(lengths, initial=0))
    # Three neighbours, but not across the end of a text.
    kept = [numpy.arange(begins[one], begins[one + 1] - 2) for one in places]
    starts = list(accumulate((len(one) for one in kept[:-1]), initial=0))
    mixed = _mixed_many(flat)[numpy.concatenate(kept)]
    return places, _minima(mixed, starts), numpy.split(mixed, starts[1:])


def _mixed_many(flat: Array) -> Array:
    factors = [numpy.uint64(one) for one in _FACTORS]
    x = flat[:-2] * factors[0] + flat[1:-1] * factors[1] + flat[2:] * factors[2]
    x = (x ^ (x >> numpy.uint64(30))) * numpy.uint64(_MIXES[0])
    x = (x ^ (x >> numpy.uint64(27))) * numpy.uint64(_MIXES[1])
    upper: Array = (x ^ (x >> numpy.uint64(31))) >> numpy.uint64(32)
    return upper.astype("uint32")


def _minima(mixed: Array, starts: Sequence[int]) -> Array:
    """A row of 128 for each text; the shingles of one begin at each start."""
    made: Array = numpy.empty((PERMUTATIONS, len(starts)), dtype="uint32")
    turned = numpy.empty_like(mixed)
    for i, (a, b) in enumerate(_PERMUTATIONS):
        numpy.multiply(mixed, numpy.uint32(a), out=turned)
        numpy.add(turned, numpy.uint32(b), out=turned)
        made[i] = numpy.minimum.reduceat(turned, starts)
    return made.T


# --- keyed bands ---------------------------------------------------------------------------------


def key_of(token: str) -> bytes:
    """The key of the forum's bands in a quarter, from the token of `KEY_VALUE`."""
    return hmac.digest(bytes.fromhex(token), b"weir/bands/v1", sha256)


def keyed(found: Sequence[bytes], key: bytes) -> tuple[str, ...]:
    """Each band under the key, as it leaves home."""
    return tuple(
        hmac.digest(key, bytes([number]) + band, sha256)[:8].hex()
        for number, band in enumerate(found)
    )


def fingerprint(prompts: Sequence[Iterable[int]], key: bytes) -> tuple[str, ...] | None:
    """The keyed bands of the template that these prompts (their shingles) were made of, if any."""
    common = consensus(prompts)
    minima = signature(common) if common else None
    return keyed(bands(minima), key) if minima else None


def equal_bands(one: Sequence[str | bytes], other: Sequence[str | bytes]) -> int:
    """How many bands of equal number are equal."""
    return sum(a == b for a, b in zip(one, other, strict=True))


def is_near(one: Sequence[str | bytes], other: Sequence[str | bytes]) -> bool:
    """Whether two templates are so alike that one was made of the other."""
    return equal_bands(one, other) >= NEAR
