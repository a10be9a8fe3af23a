"""The redaction lens on what really left: removed fields struck through, with rule and basis."""

from dataclasses import dataclass

from exchange.questions.bytes_of import Seen

_ORDER = ("drop", "token", "coarsen", "replace", "pass", "")
_MINTED = ("id", "created", "modified", "created_by_ref", "object_marking_refs", "name")


@dataclass(frozen=True, slots=True)
class Row:
    """One field: what it said, what became of it, what was sent, and why."""

    path: str
    value: str | None
    treatment: str
    sent: str | None
    rule: str
    reason: str
    basis: str


def rows(seen: Seen) -> tuple[Row, ...]:
    """Removed fields first; of what one received, the fields as they came."""
    made = []
    for field in seen.fields:
        head = field.path.split(".")[0].split("[")[0]
        treatment = field.treatment
        if treatment == "drop" and field.sent is not None and head in _MINTED:
            treatment = "replace"
        made.append(
            Row(
                path=field.path,
                value=field.value,
                treatment=treatment,
                sent=field.sent,
                rule=field.rule,
                reason=field.reason,
                basis=field.basis,
            )
        )
    return tuple(sorted(made, key=lambda row: _ORDER.index(row.treatment)))
