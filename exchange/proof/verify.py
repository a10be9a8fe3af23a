"""Check what a member received, without trusting the exchange.

    python weir-verify.pyz archive FILE.zip
    python weir-verify.pyz bundle FILE.json --jwks jwks.json
    python weir-verify.pyz check --url https://exchange.example --state STATE [--full] [--pull]
    python weir-verify.pyz witness --url https://exchange.example --state STATE --name ... --key ...

`python -m exchange.proof.verify` is the same. The credential (scopes `ledger-read`, for --pull also
`taxii-read`) is read from WEIR_CREDENTIAL or a file, never from the command line.

Exit codes: 0 all of it verifies, 1 something does not, 2 wrong usage or unreadable, 3 an archive's
own signature counts no more, since its key was revoked, but everything in it stands by the ledger,
4 the exchange does not answer. What objects say is never printed; of two notes that contradict each
other both are, and a file beside the state keeps them.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from exchange.proof import archive, log, mirror, note, remote, tell, witness
from exchange.proof import state as states
from exchange.proof.archive import (
    UNREADABLE,
    Verified,
    load,
    verify_archive,
    verify_signed,
)
from exchange.proof.bundle import Push, verify_bundle, verify_delivery
from exchange.proof.jws import KeySet
from exchange.proof.log import Contradiction
from exchange.proof.member import Asked, Run
from exchange.proof.note import Verifier
from exchange.proof.records import Trust
from exchange.proof.refused import Refused

__all__ = [
    "Push",
    "Trust",
    "Verified",
    "verify_archive",
    "verify_bundle",
    "verify_delivery",
    "verify_signed",
]

GOOD, BAD, UNCHECKED, UNSIGNED, AWAY = range(5)
Lines = list[str]


def main(arguments: list[str]) -> int:
    """Verify, say in plain words what was found, and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        code, lines = _MODES[options.mode](options)
    except Refused as refused:
        code, lines = _verdict(refused), tell.refusal(refused, is_checked=_verdict(refused) == BAD)
        if isinstance(refused, Contradiction) and getattr(options, "state", None):
            lines.append(_keep(options.state, [refused]))
    sys.stdout.write("\n".join(lines) + "\n")
    return code


def _verdict(refused: Refused) -> int:
    if refused.code in (remote.UNREACHED, "exchange.tls", "exchange.404", "exchange.500"):
        return AWAY
    is_denied = refused.code in ("exchange.401", "exchange.403")
    if is_denied or refused.code in (UNREADABLE, states.BROKEN):
        return UNCHECKED
    return UNCHECKED if refused.code.startswith("usage.") else BAD


# Offline


def _archive(options: argparse.Namespace) -> tuple[int, Lines]:
    files = load(options.archive)
    own = {archive.JWKS: options.jwks, archive.VKEYS: options.vkeys}
    used = _trust(files, own, options.witnesses)
    if archive.MANIFEST not in files:
        verified = verify_archive(files, used)
        return GOOD, [*map(tell.bundle, verified), *tell.keys(used, own), tell.ALL]
    # Without an own copy of the key set the ledger tells the keys.
    trust = replace(used, keys=used.keys if options.jwks else KeySet(()))
    found = verify_signed(files, trust)
    said = [*tell.archive(found), *map(tell.bundle, found.bundles)]
    said += tell.keys(used, {archive.VKEYS: options.vkeys})
    return (GOOD, [*said, tell.ALL]) if found.is_signed else (UNSIGNED, [*said, tell.REVOKED])


def _bundle(options: argparse.Namespace) -> tuple[int, Lines]:
    """One bundle by its manifest alone: that it is recorded only the ledger says."""
    body, token = _bytes(options.bundle), _bytes(options.bundle.with_suffix(".jws"))
    keys = KeySet.parse(_bytes(options.jwks))
    found = verify_bundle(body, token.decode(errors="replace").strip(), keys)
    proofs = options.bundle.with_suffix(".proofs")
    said = f"{found.id}: {found.count} objects from {found.iss}, sealed {tell.moment(found.iat)}"
    if not proofs.exists() or options.vkeys is None:
        return GOOD, [
            said,
            "The manifest is the exchange's. Whether the ledger has it, this does not say: use "
            "check, or give the proofs and --vkeys.",
        ]
    name = options.bundle.stem
    files = {f"{name}.json": body, f"{name}.jws": token, f"{name}.proofs": _bytes(proofs)}
    vkeys = _bytes(options.vkeys).decode(errors="replace")
    (one,) = verify_archive(files, Trust(keys, note.parse_vkeys(vkeys), options.witnesses))
    return GOOD, [tell.bundle(one), tell.ALL]


def _trust(files: Mapping[str, bytes], own: Mapping[str, Path | None], quorum: int) -> Trust:
    found = {}
    for name, path in own.items():
        if path is None and name not in files:
            raise Refused(UNREADABLE, "A file of keys is missing.", name)
        found[name] = _bytes(path) if path else files[name]
    vkeys = found[archive.VKEYS].decode(errors="replace")
    return Trust(KeySet.parse(found[archive.JWKS]), note.parse_vkeys(vkeys), quorum)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise Refused(UNREADABLE, "A file cannot be read.", path.name) from None


# Against a live exchange


def _check(options: argparse.Namespace) -> tuple[int, Lines]:
    door = remote.remote(options.url, options.credential_file, options.ca)
    before = _state(options)
    view, state = log.newest(door, before, _given(options))
    folder = options.state.with_name(f"{options.state.name}.tiles")
    # First: where the tree itself was changed, nothing else can be told.
    tiles = list(mirror.check(view, folder, before.note)) if options.full else []
    log.follow(view, before.note)
    if options.full:
        mirror.keep(view, folder)
    lines = (
        tell.first(view, state) if not before.note else tell.grown(view, log.parsed(before.note))
    )
    asked = Asked(
        quorum=options.witnesses,
        is_full=options.full,
        collection="holding" if options.pull else "",
        folder=options.objects,
        pushes=options.pushes,
    )
    run = Run(view, replace(state, url=door.url), asked, int(time.time()), lines)
    after = run.check()
    lines += tiles
    if run.faults:
        said = [line for fault in run.faults for line in tell.refusal(fault)]
        return BAD, [*lines, *said, _keep(options.state, run.faults)]
    after.write(options.state)
    return GOOD, [*lines, tell.ALL]


def _witness(options: argparse.Namespace) -> tuple[int, Lines]:
    if options.new_key:
        key = witness.make(options.key)
        return GOOD, ["Give this line to the forum's operator:", witness.vkey(key, options.name)]
    key = witness.load(options.key)
    door = remote.remote(options.url, options.credential_file, options.ca)
    state = _state(options)
    view, state = log.newest(door, state, _given(options))
    log.follow(view, state.note)
    state = log.learn(view, state, log.told_to_all(view))
    said = witness.sign(view, state, key, options.name, now=int(time.time()), path=options.state)
    return GOOD, [f"Cosigned {said}" if said else "Nothing to cosign: the last one was newer."]


def _state(options: argparse.Namespace) -> states.State:
    found = states.read(options.state)
    if found.url and found.url != options.url.rstrip("/"):
        raise Refused("usage.state", "The state file is of another exchange.")
    return found


def _given(options: argparse.Namespace) -> tuple[Verifier, ...]:
    if options.vkeys is None:
        return ()
    return note.parse_vkeys(_bytes(options.vkeys).decode(errors="replace"))


def _keep(state: Path, faults: list[Refused]) -> str:
    """Write the evidence beside the state: it is worth more than what is scrolled away."""
    path = state.with_name(f"{state.name}.evidence-{int(time.time())}")
    text = "\n".join(line for fault in faults for line in tell.refusal(fault))
    path.write_text(text + "\n", encoding="utf-8")
    return f"Kept as {path.name}: show it to the forum and to another member."


# Options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("weir-verify", description="Check what you received.")
    modes = parser.add_subparsers(dest="mode", required=True)
    one = modes.add_parser("archive", help="an archive, or a folder of bundles with their proofs")
    one.add_argument("archive", type=Path, metavar="DIR_OR_ZIP")
    _add_keys(one)
    one = modes.add_parser("bundle", help="one bundle with its manifest beside it")
    one.add_argument("bundle", type=Path, metavar="FILE.json")
    _add_keys(one, is_needed=True)
    one = modes.add_parser("check", help="the six checks against the exchange")
    _add_remote(one)
    one.add_argument("--full", action="store_true", help="all openings, and every tile of the log")
    one.add_argument("--pull", action="store_true", help="compare all that TAXII serves")
    one.add_argument("--objects", type=Path, metavar="DIR", help="bundles, pages or archives held")
    one.add_argument("--pushes", type=Path, metavar="DIR", help="pushes: NAME.body, NAME.headers")
    one.add_argument("--witnesses", type=int, help="how many must have cosigned")
    one = modes.add_parser("witness", help="cosign the newest checkpoint")
    _add_remote(one)
    one.add_argument("--key", type=Path, required=True, help="PKCS#8, mode 0600")
    one.add_argument("--name", required=True, help="such as member.example/witness")
    one.add_argument("--new-key", action="store_true", help="make the key, and print its line")
    return parser


def _add_keys(parser: argparse.ArgumentParser, *, is_needed: bool = False) -> None:
    parser.add_argument(
        "--jwks", type=Path, required=is_needed, help="your own copy of the exchange's jwks.json"
    )
    parser.add_argument("--vkeys", type=Path, help="your own copy of the ledger's vkeys")
    parser.add_argument("--witnesses", type=int, default=0, help="how many must have cosigned")


def _add_remote(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", required=True, help="https://exchange.example")
    parser.add_argument("--state", type=Path, required=True, help="a small file that it keeps")
    parser.add_argument("--credential-file", type=Path, help="instead of WEIR_CREDENTIAL")
    parser.add_argument("--ca", help="a file of certificates to trust")
    parser.add_argument("--vkeys", type=Path, help="the log's key as the forum told it otherwise")


_MODES: Mapping[str, Callable[[argparse.Namespace], tuple[int, Lines]]] = {
    "archive": _archive,
    "bundle": _bundle,
    "check": _check,
    "witness": _witness,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
