"""The child that opens one extract and puts it in words, sealed for the member that sent it.

`exchange.children` starts it, without keys or settings but the two for this one extract.
"""

import json

from exchange import children
from indicators.detection import packing, sealing, taking, words


def show(given: bytes) -> bytes:
    """Sealed words of a sealed extract: in the clear it is in this process alone."""
    key, place, sealed, own, nonce, aad = taking.unframed(given)
    extract = packing.unpack(sealing.open_seal(key, sealed, aad=place))
    said = json.dumps(words.as_document(extract), ensure_ascii=False).encode()
    return sealing.seal(own, nonce, said, aad=aad)


if __name__ == "__main__":
    children.answer(show)
