"""Check what a member received, without trusting the exchange: a push, a bundle, an archive.

    python -m exchange.proof.verify archive [--jwks FILE] [--vkeys FILE] [--witnesses K] DIR_OR_ZIP

Exit codes: 0 all of it verifies, 1 something does not, 2 wrong usage or unreadable, 3 the archive's
own signature counts no more, since its key was revoked, but everything in it stands by the ledger.
What the objects say is never printed.

Keys from the archive itself prove only that the archive agrees with itself: whoever has own copies
passes them with --jwks and --vkeys.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from exchange.proof import archive, claims, note
from exchange.proof.archive import UNREADABLE, Checked, Verified, load, verify_archive
from exchange.proof.archive import verify_signed as verify_signed
from exchange.proof.bundle import Push, verify_bundle, verify_delivery
from exchange.proof.jws import KeySet
from exchange.proof.records import Trust
from exchange.proof.refused import Refused

__all__ = ["Push", "Trust", "verify_archive", "verify_bundle", "verify_delivery", "verify_signed"]

GOOD, BAD, UNCHECKED, UNSIGNED = range(4)


def main(arguments: list[str]) -> int:
    """Verify, say in plain words what was found, and return the exit code."""
    parser = argparse.ArgumentParser("weir-verify", description="Check what you received.")
    modes = parser.add_subparsers(dest="mode", required=True)
    one = modes.add_parser("archive", help="an archive, or a folder of bundles with their proofs")
    one.add_argument("archive", type=Path, metavar="DIR_OR_ZIP")
    one.add_argument("--jwks", type=Path, help="your own copy of the exchange's jwks.json")
    one.add_argument("--vkeys", type=Path, help="your own copy of the ledger's vkeys")
    one.add_argument("--witnesses", type=int, default=0, help="how many must have cosigned")
    options = parser.parse_args(arguments)
    try:
        code, lines = _archive(options)
    except Refused as refusal:
        place = f" [{refusal.path}]" if refusal.path else ""
        unreadable = refusal.code == UNREADABLE
        verdict = "NOT CHECKED" if unreadable else "DOES NOT VERIFY"
        lines = [f"{verdict}: {refusal.sentence} ({refusal.code}){place}"]
        code = UNCHECKED if unreadable else BAD
    sys.stdout.write("\n".join(lines) + "\n")
    return code


def _archive(options: argparse.Namespace) -> tuple[int, list[str]]:
    files = load(options.archive)
    own = {archive.JWKS: options.jwks, archive.VKEYS: options.vkeys}
    used = _trust(files, own, options.witnesses)
    if archive.MANIFEST not in files:
        verified = verify_archive(files, used)
        return GOOD, [*map(_bundle, verified), *_keys_used(used, own), "Everything verifies."]
    # Without an own copy of the key set the ledger tells the keys.
    trust = replace(used, keys=used.keys if options.jwks else KeySet(()))
    found = verify_signed(files, trust)
    said = [*_told(found), *map(_bundle, found.bundles)]
    said += _keys_used(used, {archive.VKEYS: options.vkeys})
    if found.is_signed:
        return GOOD, [*said, "Everything verifies."]
    return UNSIGNED, [
        *said,
        "The key that signed this archive is revoked: what it says of itself (kind, question, that "
        "nothing was left out) proves nothing any more. What lies in it stands by the ledger.",
    ]


def _trust(files: Mapping[str, bytes], own: Mapping[str, Path | None], quorum: int) -> Trust:
    found = {}
    for name, path in own.items():
        try:
            found[name] = path.read_bytes() if path else files[name]
        except (OSError, KeyError):
            raise Refused(UNREADABLE, "A file of keys is missing.", name) from None
    vkeys = found[archive.VKEYS].decode(errors="replace")
    return Trust(KeySet.parse(found[archive.JWKS]), note.parse_vkeys(vkeys), quorum)


def _told(found: Checked) -> Iterator[str]:
    one = found.described
    yield (
        f"{one.kind} from {one.iss}, made {_moment(one.iat)}, signed with {found.signed_by.kid}; "
        f"ledger {one.ledger} at {one.size} entries, cosigned by {found.witnesses} witnesses"
    )
    for name, value in one.about.items():
        yield f"  {_shown(name)}: {_shown(value)}"
    yield f"{len(found.rows)} entries are proven to be in the ledger."
    if found.answer is not None:
        proven = sum(1 for row in found.answer.rows if row.marks)
        rest = len(found.answer.rows) - proven
        yield (
            f"The answer has {len(found.answer.rows)} rows: {proven} lead to entries of the "
            f"ledger, {rest} rest on the exchange's word alone."
        )
    if found.others:
        yield f"Listed beside: {', '.join(found.others)}."


def _bundle(bundle: Verified) -> str:
    manifest, entries = bundle.manifest, bundle.entries
    indexes = claims.spell_ranges(each.index for each in entries)
    witnesses = min(
        len({signed.verifier.name for signed in each.proven.signatures if signed.at is not None})
        for each in entries
    )
    return (
        f"{manifest.id}: {manifest.count} objects from {manifest.iss}, sealed "
        f"{_moment(manifest.iat)}; "
        f"entries {indexes} of {manifest.ledger}, cosigned by {witnesses} or more witnesses"
    )


def _keys_used(trust: Trust, own: Mapping[str, Path | None]) -> Iterator[str]:
    if all(own.values()):
        return
    yield "Keys were taken from the archive itself: compare them with your own copies."
    yield from (f"  manifest key {key.kid}" for key in trust.keys.keys)
    yield from (f"  ledger key {verifier.vkey()}" for verifier in trust.verifiers)


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _shown(value: object) -> str:
    return "".join(char for char in str(value)[:300] if char.isprintable())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
