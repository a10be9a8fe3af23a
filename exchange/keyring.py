"""Which of a process's keys signs now: the one that is active, by what is published.

A setting may name two, the old one and the new, with a space between: then a switch is one step in
the database, and every process follows at its next signature.
"""

from functools import lru_cache

from django.conf import settings

from exchange.models import SigningKey
from exchange.proof.keys import Signer
from exchange.proof.refused import Refused
from exchange.signers import signer_for


def signer(purpose: str) -> Signer:
    """The active key of a purpose; refused, so that what signs waits, where it is not here.

    Before any key of the purpose is announced it is the first that the setting names.
    """
    uris = str(getattr(settings, f"SIGNER_{purpose.upper()}")).split()
    if not uris:
        raise Refused("signer.none", "This process holds no key to sign with.")
    known = dict(SigningKey.objects.filter(purpose=purpose).values_list("status", "public"))
    if not known:
        return _opened(uris[0])
    active = known.get(SigningKey.Status.ACTIVE)
    fault = Refused("signer.inactive", f"No key of this process is the active {purpose} key.")
    for uri in uris if active is not None else ():
        try:
            found = _opened(uri)
        except Refused as refused:  # another one may be the active one
            fault = refused
            continue
        if found.public == bytes(active or b""):
            return found
    raise fault


@lru_cache(maxsize=8)
def _opened(uri: str) -> Signer:
    return signer_for(uri)
