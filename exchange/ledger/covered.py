"""Which tables lie under the log's leaves, which do not and why, and whether the first still fit.

A table that is in neither list fails a test: whoever adds one says here what fixes its past.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson

from exchange.ledger import intake
from exchange.models import Release
from exchange.proof import jcs
from exchange.proof.refused import Refused
from members.scope import fetch
from members.seals import for_member

# What `ledger_check --full` follows down to the leaves, and so to every member's checkpoint.
UNDER: Mapping[str, str] = {
    "ledger_entry": "each leaf, its members and numbers, from its slots",
    "ledger_slot": "each slot from its salt and bytes",
    "ledger_tile": "each tile from the leaves",
    "ledger_head": "size and root from the tiles",
    "ledger_checkpoint": "each note from the tree at its size, and its signature",
    "ledger_cosignature": "each line from its checkpoint and its witness's key",
    "ledger_account": "each last number from the entries",
    "ledger_event": "kind, members, time and fields, from the slots: receipts are here",
    "exchange_release": "kind, list, count, floor, policy and times, from the slots",
    "exchange_releaserecipient": "recipient, numbers, what it undoes, from the entries",
    "exchange_releaseitem": "each position from the list of its release",
    "exchange_rendition": "id, version and bytes, from the list of its release",
}

_OWN = "its contributor's alone; what left of it is in the slots"
_DUE = "work that waits; what comes of it is a release or an event"
_ACT = "each act is also an entry of kind decision or read, whose slot has its digest or words"
_PEOPLE = "who takes part; whom an entry concerns is in its slots"
_DERIVED = "made anew from what lies under the log, or dropped"
_COUNTED = "numbers about use; nothing leaves by them"
OUTSIDE: Mapping[str, str] = {
    "ledger_intake": "what is not numbered yet; a row that vanishes leaves its part unnumbered",
    "ledger_gate": "how much may be seen now; it only ever delays",
    "ledger_witness": "each key is also an entry of kind key, shown to all",
    "ledger_signing_key": "each key is also an entry of kind key, shown to all",
    "exchange_floorpolicy": "its digest is in an entry of kind policy and in each release",
    "exchange_memberpolicyversion": "its digest is in an entry of kind policy and in each release",
    "exchange_policydraft": "a document at work; each step is an entry of kind decision",
    "exchange_algorithm": "its digest is in an entry of kind policy, in force and at its end",
    "exchange_algorithmtext": "its digest is in those entries",
    "exchange_algorithmact": _ACT,
    "exchange_dryrun": "a rehearsal; three buckets, and nothing leaves by them",
    "exchange_forum": "names",
    "exchange_outcome": "the digest of the verdict is in each release",
    "exchange_hold": _ACT,
    "exchange_holdact": _ACT,
    "exchange_originalread": _ACT,
    "exchange_originalrequest": _ACT,
    "exchange_originalword": _ACT,
    "exchange_recall": _ACT,
    "exchange_archive": "signed, with a manifest of its own; made anew from what is recorded",
    "exchange_following": "what was taken is in the hourly receipt; this reminds of what was not",
    "exchange_run": "its inputs, algorithms and end are an entry of kind decision",
    "exchange_finding": "what is said of it is a contribution, which is an entry",
    "exchange_findingobject": "of such a finding",
    "exchange_mail": _DUE,
    "exchange_feedback": "a sighting that its recipient contributed, which is an entry",
    "exchange_bundle": "signed, and made anew from the renditions of its release",
    "exchange_subscription": "where a member wants its pushes",
    "exchange_delivery": "what was taken is in the hourly receipt, by the recipient's numbers",
    "exchange_attempt": "what was taken is in the hourly receipt, by the recipient's numbers",
    "exchange_servednote": "what was taken is in the hourly receipt, by the recipient's numbers",
    "exchange_missing": _DUE,
    "exchange_revocation": _DUE,
    "exchange_reissue": _DUE,
    "exchange_affected": _DUE,
    "exchange_preparation": _DUE,
    "exchange_backfill": _DUE,
    "exchange_releaseagain": _DUE,
    "exchange_fold": _DUE,
    "exchange_foldpart": _DUE,
    "exchange_kept": "which position stays readable; the bytes are under the log",
    "exchange_twin": "given without a position: the contributor's slot has its list",
    "exchange_sealedpage": _DERIVED,
    "exchange_searchentry": _DERIVED,
    "exchange_searchvalue": _DERIVED,
    "exchange_preview": "a rehearsal; what was confirmed of it is in an entry of kind decision",
    "exchange_previewaudience": "a rehearsal",
    "exchange_previewline": "a rehearsal",
    "exchange_previewpart": "a rehearsal",
    "exchange_statisticstable": "its publication is an entry of kind decision",
    "exchange_statisticscell": "of such a table",
    "exchange_statisticsblock": "of such a table",
    "exchange_extract": "its digest is in an entry of kind decision, its end in one of kind erase",
    "exchange_sealedextract": "for runs alone; its digest is in that entry",
    "exchange_extractkey": "erased with its day; that is an entry of kind erase",
    "exchange_extracttry": _COUNTED,
    "exchange_extractview": "each is an entry of kind read, told to the member",
    "exchange_tokenalarm": _COUNTED,
    "exchange_tokencall": _COUNTED,
    "exchange_tokenday": _COUNTED,
    "exchange_questionview": "who asked what of the record; nothing leaves by it",
    "exchange_inquiry": "who asked what of the record; nothing leaves by it",
    "exchange_answerexport": "signed, with a manifest; made anew from what is recorded",
    "exchange_answerfile": "of such an export",
    "exchange_attestation": "an officer's own statement of what went on outside",
    "exchange_nature": _PEOPLE,
    "exchange_verdictdocument": "found by its digest, which is in each release",
    "exchange_lookedback": _DERIVED,
    "exchange_lookback": _DERIVED,
    "exchange_judgedtable": _DERIVED,
    "exchange_file": "a file on its way in; what is taken in of it is a contribution",
    "exchange_filepart": "a file on its way in; what is taken in of it is a contribution",
    "exchange_filefault": "a file on its way in; what is taken in of it is a contribution",
    "exchange_columnmapping": "how a member's tables are read",
    "exchange_legalhold": "only ever keeps what would go",
    "exchange_keptlist": "equal to its digest in the contributor's slot, or it is not shown",
    "exchange_retentionrun": _COUNTED,
    "exchange_personrequest": "what is done of it is an entry of kind erase",
    "exchange_erasure": "each is also an entry of kind erase, recorded before it is done",
    "indicators_contribution": "numbered by its entry of kind contribution, which has its digest",
    "indicators_submission": _OWN,
    "indicators_forumobject": _OWN,
    "indicators_version": _OWN,
    "indicators_original": _OWN,
    "indicators_item": _OWN,
    "indicators_observable": _DERIVED,
    "members_member": _PEOPLE,
    "members_datakey": "keys, wrapped by a key that the database does not hold",
    "members_user": _PEOPLE,
    "members_userrole": _PEOPLE,
    "members_circle": _PEOPLE,
    "members_circlemember": "coming and leaving are entries of kind decision",
    "members_agreement": "the same text for all, published",
    "members_acceptance": _PEOPLE,
    "members_credential": _PEOPLE,
    "members_signinlink": _PEOPLE,
    "members_invitation": _PEOPLE,
}

_RELEASES = """
    SELECT act.id, act.count, act.listing, act.told, act.slots, act.member_id, floor.digest,
        policy.digest
    FROM exchange_release act JOIN exchange_floorpolicy floor ON floor.id = act.floor_id
    LEFT JOIN exchange_memberpolicyversion policy ON policy.id = act.policy_id
    WHERE act.id IN (SELECT release_id FROM exchange_releaserecipient WHERE id = ANY(%s))
      AND NOT act.id = ANY(%s)
"""
_ITEMS = """
    SELECT item.release_id, item.position, said.id, said.stix_id, said.modified, said.digest,
        octet_length(said.body) = 0 OR sha256(said.body) = said.digest
    FROM exchange_releaseitem item JOIN exchange_rendition said ON said.id = item.rendition_id
    WHERE item.release_id = ANY(%s) ORDER BY 1, 2
"""
# What is numbered otherwise than its entry says, or neither numbered nor waiting.
_STRAYS = {
    "exchange_releaserecipient {}: its number is not that of its entry.": """
        SELECT part.id FROM exchange_releaserecipient part LEFT JOIN ledger_entry entry
            ON entry.kind IN ('release', 'recall') AND entry.ref = part.id
        WHERE (part.idx, part.to_seq) IS DISTINCT FROM
            (entry.idx, CASE WHEN entry.to_member_id IS NOT NULL THEN entry.to_seq END)
        ORDER BY 1""",
    "exchange_releaserecipient {}: it is neither numbered nor waiting.": """
        SELECT part.id FROM exchange_releaserecipient part
        WHERE part.idx IS NULL AND NOT EXISTS (SELECT 1 FROM ledger_intake row
            WHERE row.kind = 'release' AND row.ref = part.id) ORDER BY 1""",
    "exchange_releaserecipient {}: its count of objects is not that of those before it.": """
        SELECT id FROM (
            SELECT part.id, part.idx, part.running, sum(act.count)
                OVER (PARTITION BY part.recipient_id ORDER BY part.idx) - act.count AS before
            FROM exchange_releaserecipient part
            JOIN exchange_release act ON act.id = part.release_id
            WHERE part.to_seq IS NOT NULL) AS counted
        WHERE running IS DISTINCT FROM before ORDER BY idx""",
    "exchange_releaserecipient {}: its time is not that of its checkpoint.": """
        SELECT part.id FROM exchange_releaserecipient part
        JOIN LATERAL (SELECT head.at, head.spread FROM ledger_checkpoint head
            WHERE head.size > part.idx ORDER BY head.size LIMIT 1) AS under ON true
        WHERE part.added_at IS NULL OR part.added_at < under.at
            OR part.added_at > under.at + under.spread * interval '1 microsecond' ORDER BY 1""",
    "ledger_event {}: it is neither numbered nor waiting.": """
        SELECT event.id FROM ledger_event event
        WHERE NOT EXISTS (SELECT 1 FROM ledger_entry entry
                WHERE entry.kind = event.kind AND entry.ref = event.id)
          AND NOT EXISTS (SELECT 1 FROM ledger_intake row
                WHERE row.kind = event.kind AND row.ref = event.id) ORDER BY 1""",
    "exchange_release {}: it has no part for anyone.": """
        SELECT act.id FROM exchange_release act WHERE NOT EXISTS (
            SELECT 1 FROM exchange_releaserecipient part WHERE part.release_id = act.id)""",
    "indicators_contribution {}: its number is not that of its entry.": """
        SELECT row.id FROM indicators_contribution row
        LEFT JOIN ledger_event event ON event.contribution_id = row.id
            AND event.kind = 'contribution'
        LEFT JOIN ledger_entry entry ON entry.kind = 'contribution' AND entry.ref = event.id
        WHERE row.idx IS DISTINCT FROM entry.idx""",
}
_KNOWN = 4096


def differences() -> Iterator[str]:
    """What the database counts otherwise than the log."""
    for sentence, sql in _STRAYS.items():
        for (name,) in fetch(sql):
            yield sentence.format(name)


class Releases:
    """The releases of a run, each looked at once while its parts follow one another."""

    def __init__(self) -> None:
        self._seen: OrderedDict[UUID, None] = OrderedDict()

    def differences(self, refs: Sequence[int]) -> Iterator[str]:
        """Whether the releases of these parts still list and hold what their slots say."""
        rows = fetch(_RELEASES, [list(refs), list(self._seen)]) if refs else []
        items: dict[UUID, list[Any]] = {row[0]: [] for row in rows}
        for release_id, *item in fetch(_ITEMS, [list(items)]) if items else []:
            items[release_id].append(item)
        whole = Release.objects.in_bulk(list(items))
        for row in rows:
            self._seen[row[0]] = None
            yield from _of_release(row, items[row[0]], whole[row[0]])
        while len(self._seen) > _KNOWN:
            self._seen.popitem(last=False)


def _of_release(
    row: Sequence[Any], items: Sequence[Sequence[Any]], whole: Release
) -> Iterator[str]:
    release_id, count, listing, told, slots, member_id, floor, policy = row
    name = f"exchange_release {release_id}"
    try:
        fields = orjson.loads(intake.seal().open(slots, aad=intake.release_aad(release_id)))
    except (Refused, ValueError):
        return  # its parts are named: they do not open
    listed = orjson.loads(listing)
    if count != len(listed) or _listed(fields["to"]) != (_items_of(listed) if listed else {}):
        yield f"{name}: its list is not the one in its recipients' slots."
    found = [[stix_id, modified, digest.hex()] for _, _, stix_id, modified, digest, _ in items]
    if found != [[one[0], one[1] or "", one[2]] for one in listed]:
        yield f"exchange_releaseitem of release {release_id}: they are not those of its list."
    for _, rendition, *_, is_whole in items:
        if not is_whole:
            yield f"exchange_rendition {rendition}: its bytes are not those of its digest."
    stated = [fields[slot]["floor"] for slot in ("to", "from") if "floor" in fields[slot]]
    if any(digest != floor.hex() for digest in stated):
        yield f"{name}: it names another floor than its slots."
    # Empty: the contributor has no terms of its own.
    if (fields["from"].get("policy") or "") != (policy.hex() if policy else ""):
        yield f"{name}: it names another member policy than its slots."
    rest = intake.row_of(whole)
    if any(fields["audit"].get(which, value) != value for which, value in rest.items()):
        yield f"{name}: its times, circle or contribution are not those of its slots."
    if told and _listed(fields["from"]) != _told(release_id, member_id, told):
        yield f"{name}: its contributor's list is not the one in its slot."


def _told(release_id: UUID, member_id: UUID, told: bytes) -> Mapping[str, Any]:
    try:
        opened = for_member(member_id).open(told, aad=b"told:" + release_id.bytes)
    except (Refused, LookupError):
        return {"": None}  # equals nothing
    return _items_of(orjson.loads(opened))


def _listed(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        name: fields[name] for name in ("id", "version", "rendition", "items") if name in fields
    }


def _items_of(listing: Sequence[Sequence[Any]]) -> Mapping[str, Any]:
    """One object stands in the slot itself, several as the digest of their list."""
    if len(listing) == 1:
        return dict(zip(("id", "version", "rendition"), listing[0], strict=True))
    digest = sha256(jcs.encode([list(line) for line in listing])).hexdigest()
    return {"items": {"count": len(listing), "sha256": digest}}
