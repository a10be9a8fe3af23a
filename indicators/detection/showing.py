"""The child that opens one extract and puts it in words, sealed for the member that sent it.

`exchange.children` starts it, without keys or settings but the two for this one extract.
"""

import json

from exchange import children
from indicators.detection import manifest, parquet, sealing, taking, words


def show(given: bytes) -> bytes:
    """Sealed words of a sealed extract: in the clear it is in this process alone."""
    key, place, sealed, own, nonce, aad = taking.unframed(given)
    parts = taking.unframed(sealing.open_seal(key, sealed, aad=place))
    extract = parquet.read(manifest.read(parts[0]), parts[1], parts[2])
    said = json.dumps(words.as_document(extract), ensure_ascii=False).encode()
    return sealing.seal(own, nonce, said, aad=aad)


if __name__ == "__main__":
    children.answer(show)
