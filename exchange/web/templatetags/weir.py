"""What templates say about times, ids, treatments and validity: one word and one form for each."""

import json
from datetime import UTC, datetime
from typing import Any

from django import template
from django.forms import BoundField
from django.utils.html import format_html
from django.utils.safestring import SafeString

from exchange.web.lens import rows as lens_rows

register = template.Library()

TREATMENTS = {
    "pass": "sent",
    "same": "sent",
    "coarsen": "coarsened",
    "token": "tokenised",
    "drop": "removed",
    "replace": "replaced",
}
OUTCOMES = {
    "accepted": "accepted",
    "incomplete": "incomplete",
    "held": "held for counsel",
    "withheld": "withheld",
    "refused": "refused",
    "released": "left",
    "stored": "stored only",
    "pending": "being taken in",
}
TYPES = {
    "account-cluster": "account cluster",
    "api-client-fingerprint": "client fingerprint",
    "attack-pattern": "technique",
    "autonomous-system": "network (AS)",
    "domain-name": "domain name",
    "ipv4-addr": "IPv4 address",
    "ipv6-addr": "IPv6 address",
    "keyed-token": "keyed token",
    "marking-definition": "marking",
    "model-provenance-evidence": "provenance evidence",
    "network-traffic": "network traffic",
    "observed-data": "observed data",
    "prompt-template-fingerprint": "prompt template",
    "rate-shape": "rate shape",
    "threat-actor": "threat actor",
    "url": "URL",
}
OFFICES = {
    "forum-counsel": "forum's counsel",
    "contributor-counsel": "contributor's counsel",
    "forum-officer": "forum's officer",
    "officer": "contributor's officer",
    "analyst": "contributor's analyst",
}
TOKEN_ALARMS = {
    "share": "used half of its quota",
    "growth": "asked for ten times its usual",
    "quota": "asked for more than its quota",
}
BAR = 120


SAID = {
    "leak": "leak",
    "error": "error",
    "false-positive": "false positive",
    "shared-infrastructure": "shared infrastructure",
    "benign-shared-infrastructure": "shared infrastructure",
    "true-positive": "seen",
    "forum-counsel": "the forum's counsel",
    "officer": "compliance officer",
    "machine": "a machine",
    "recalled": "recalled",
    "corrected": "corrected",
    "stands": "looked at again, and it stands",
    "unclear": "not enough to go on; say it again if you see more",
}


@register.filter
def said(word: str) -> str:
    """The word for a reason of a recall, for feedback, and for who ordered it."""
    return SAID.get(word, word)


@register.filter
def request_state(state: str) -> str:
    """How far a person's request has come."""
    words = {"asked": "waits for counsel", "approved": "approved, under way"}
    return words.get(state, state)


@register.filter
def found(state: str) -> str:
    """What the holding says of a value."""
    words = {"hit": "held", "miss": "not held", "unknown": "no known value"}
    return words.get(state, "not checked")


@register.filter
def when(at: datetime | None) -> str:
    """A moment: UTC in the page and in its title, the reader's own zone once the script has run."""
    if at is None:
        return ""
    utc = at.astimezone(UTC)
    clock = f"{utc:%H:%M:%S}" if utc.second else f"{utc:%H:%M}"
    text = f"{utc.day} {utc:%b %Y}, {clock} UTC"
    machine = f"{utc:%Y-%m-%dT%H:%M:%S}Z"
    return format_html('<time datetime="{}" title="{}">{}</time>', machine, text, text)


@register.filter
def day(at: datetime | None) -> str:
    """A day in UTC, which no reader's zone moves."""
    if at is None:
        return ""
    utc = at.astimezone(UTC)
    text = f"{utc.day} {utc:%b %Y}"
    return format_html(
        '<time data-day datetime="{}" title="{} UTC">{}</time>', f"{utc:%Y-%m-%d}", text, text
    )


@register.filter
def at_utc(at: datetime | None, now: datetime) -> str:
    """A moment that something waits for: in UTC, which windows go by, with how far it is."""
    if at is None:
        return ""
    utc = at.astimezone(UTC)
    clock = f"{utc:%H:%M:%S}" if utc.second else f"{utc:%H:%M}"
    day_of = "" if utc.date() == now.astimezone(UTC).date() else f"{utc.day} {utc:%b}, "
    return format_html(
        '<time data-utc datetime="{}">{}{} UTC</time> <span class="quiet">({})</span>',
        f"{utc:%Y-%m-%dT%H:%M:%S}Z",
        day_of,
        clock,
        _from_now((at - now).total_seconds()),
    )


def _from_now(seconds: float) -> str:
    if seconds <= 0:
        return f"{_span(-seconds)} ago"
    return f"in {_span(seconds)}"


def _span(seconds: float) -> str:
    for size, word in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = round(seconds / size)
            return f"{count} {word}" if count == 1 else f"{count} {word}s"
    return "less than a minute"


@register.simple_tag
def age(at: datetime, now: datetime) -> str:
    """How long something has waited, as coarse as a person says it: a second would name it."""
    return _span((now - at).total_seconds())


@register.simple_tag
def cell(of_kind: str, value: Any) -> str:  # noqa: ANN401 - whatever stands in an answer
    """A value of an answer in the form of its column."""
    if value is None or value == "":
        return ""
    if of_kind == "when":
        return when(value)
    if of_kind == "kind":
        return kind(str(value))
    if of_kind == "said":
        return said(str(value))
    if of_kind == "treatment":
        return treated(str(value))
    if of_kind == "digest":
        return format_html('<code title="{}">{}</code>', value, str(value)[:16])
    if of_kind == "code":
        return format_html('<code class="wide">{}</code>', value)
    if of_kind == "rules":
        rules = str(value).split(" ")
        if len(rules) == 1 or not value:
            return format_html('<code class="wide">{}</code>', value)
        return format_html(
            '<details><summary>{} rules</summary><code class="wide">{}</code></details>',
            len(rules),
            value,
        )
    return str(value)


@register.filter
def text(body: bytes) -> str:
    """Bytes of ours as the text that they are."""
    return body.decode()


@register.inclusion_tag("web/leaves.html")
def leaves(departure: Any, now: datetime) -> dict[str, Any]:  # noqa: ANN401 - a departure; doors import no rows
    """When something leaves, as far as it can be promised."""
    at = departure.at
    return {"word": departure.word, "at": at, "now": now, "at_once": at is not None and at <= now}


@register.simple_tag
def missing(row: Any) -> str:  # noqa: ANN401 - a line of the queue
    """The approvers whose word is missing, and how many of how many have spoken."""
    if row.state not in ("open", "asked"):
        return ""
    names = ", ".join(office(role).removesuffix(" counsel") for role in row.missing)
    many = len(row.approvers)
    return f"{names} ({len(row.approved)} of {many})" if many > 1 else names


@register.filter
def office(role: str) -> str:
    """A role, as one speaks of its holder."""
    return OFFICES.get(role, role)


@register.filter
def stands(state: str) -> str:
    """Where a hold stands, in words."""
    return {"asked": "asked back"}.get(state, state)


@register.filter
def wish(state: str) -> str:
    """Where a wish to read an original stands, in words."""
    words = {"waits": "waits for a word", "open": "open now", "over": "closed again"}
    return words.get(state, state)


@register.filter
def did(act: str) -> str:
    """What somebody did on a hold."""
    return {"release": "released", "refuse": "refused", "ask": "asked", "answer": "answered"}[act]


@register.filter
def token_alarm(kind: str) -> str:
    """What a member did on a day that raised an alarm."""
    return TOKEN_ALARMS[kind]


@register.filter
def key(act: str) -> str:
    """The key that chooses a decision."""
    return {"release": "a", "refuse": "r", "ask": "b"}[act]


@register.filter
def short(stix_id: str) -> str:
    """The part of an id by which people tell two apart."""
    kind, _, rest = stix_id.partition("--")
    return f"{kind} {rest[:8]}" if rest else stix_id[:12]


@register.filter
def treated(treatment: str) -> str:
    """The word for a treatment, as a reader says it."""
    return TREATMENTS.get(treatment, treatment)


@register.filter
def became(outcome: str) -> str:
    """The word for what became of an object."""
    return OUTCOMES.get(outcome, outcome)


@register.filter
def kind(stix_type: str) -> str:
    """A STIX type in words."""
    return TYPES.get(stix_type, stix_type.replace("-", " "))


@register.filter
def plain(value: object) -> str:
    """A value of an object as text: strings bare, the rest as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


@register.filter
def pretty(body: bytes | dict[str, Any]) -> str:
    """An object in indented form, for reading; the exact bytes are what the digest is of."""
    obj = json.loads(body) if isinstance(body, bytes) else body
    return json.dumps(obj, indent=2, ensure_ascii=False)


@register.simple_tag
def validity(since: datetime | None, until: datetime | None, now: datetime) -> SafeString | str:
    """A bar for how much of an object's time is left, and the same in words."""
    if since is None or until is None or until <= since:
        return ""
    share = min(1.0, max(0.0, (now - since) / (until - since)))
    days = (until - now).days
    words = f"expired {-days} days ago" if until <= now else f"{days} days left"
    return format_html(
        '<svg class="validity {}" viewBox="0 0 {} 8" role="img" aria-label="{}">'
        '<rect class="all" width="{}" height="8" rx="2"/>'
        '<rect class="past" width="{}" height="8" rx="2"/>'
        '<rect class="left" x="{}" width="{}" height="8" rx="2"/></svg> <span>{}</span>',
        "over" if until <= now else "",
        BAR,
        words,
        BAR,
        round(BAR * share),
        round(BAR * share),
        BAR - round(BAR * share),
        words,
    )


@register.inclusion_tag("web/lens.html")
def lens(seen: Any, recipient: str, *, is_final: bool) -> dict[str, Any]:  # noqa: ANN401 - a preview's audience or a view of what left
    """One object for one audience, field by field."""
    return {"rows": lens_rows(seen.lines, seen.body, is_final=is_final), "recipient": recipient}


@register.filter
def at(row: tuple[Any, ...], place: int) -> Any:  # noqa: ANN401 - whatever stands there
    """What stands at a place of a row."""
    return row[place]


@register.simple_tag
def names(all_names: tuple[str, ...], own: str) -> str:
    """Recipients by name; one's own copy is named only where nobody else has the like."""
    others = [name for name in all_names if name != own]
    return ", ".join(others) if others else "your own copy"


@register.inclusion_tag("web/icon.html")
def icon(name: str) -> dict[str, str]:
    """One of our drawings; always beside its word."""
    return {"name": name}


@register.inclusion_tag("web/field.html")
def field(bound: BoundField, tip: str = "") -> dict[str, Any]:
    """A form field with its label, what helps to fill it, and its fault beside it."""
    return {"field": bound, "tip": tip or bound.help_text}
