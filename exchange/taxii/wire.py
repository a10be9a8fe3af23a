"""TAXII 2.1 on the wire: media types, errors, filters, cursors, headers. No database here."""

import binascii
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.http import HttpResponse, QueryDict

from exchange import shelf
from exchange.access import MOST, Collection, Held, Page, Query
from exchange.contribute import Status, StatusItem
from exchange.pages import WALKED, Served, Walk
from exchange.proof.keys import b64
from exchange.proof.refused import Refused

MEDIA = "application/taxii+json;version=2.1"
STIX_MEDIA = "application/stix+json;version=2.1"
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,18}))?Z", re.ASCII)
_WEIGHT = re.compile(r"q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")
_ETAG = re.compile(r'(?:W/)?"([^"]*)"')
_KEYWORDS = frozenset({"last", "first", "all"})
_SMALL = 1_024  # what is shorter gains nothing
_RANGE = re.compile(r"\s*([^;,\s]+)\s*((?:;[^,]*)?)")
_PARAMETER = re.compile(r";\s*([A-Za-z0-9_-]+)\s*=\s*(?:\"([^\"]*)\"|([^;\s]*))")


def answer(value: object, *, status: int = 200, page: Page | None = None) -> HttpResponse:
    """A resource in the TAXII media type, with the digest of its bytes (RFC 9530)."""
    body = value if isinstance(value, bytes) else _json(value)
    response = HttpResponse(body, status=status, content_type=MEDIA)
    response["Content-Digest"] = _digest(body)
    # What was taken back must not be served from a copy on the way.
    response["Cache-Control"] = "private, no-store"
    if page is not None and page.items:
        response["X-TAXII-Date-Added-First"] = stamp(page.items[0].added_at)
        response["X-TAXII-Date-Added-Last"] = stamp(page.items[-1].added_at)
    return response


def compressed(response: HttpResponse, encoding: str) -> HttpResponse:
    """An answer that is made for one request, in the encoding that its asker takes."""
    response["Vary"] = "Authorization, Accept-Encoding"
    is_done = response.streaming or "Content-Encoding" in response
    if encoding == "identity" or is_done or len(response.content) < _SMALL:
        return response
    response.content = shelf.encoded(response.content, encoding, fast=True)
    response["Content-Encoding"] = encoding
    if "Content-Digest" in response:
        response["Content-Digest"] = _digest(response.content)
    return response


def nothing() -> HttpResponse:
    """The empty answer of DELETE (5.7)."""
    return HttpResponse(b"", content_type=MEDIA)


def error(title: str, *, status: int, code: str = "", path: str = "") -> HttpResponse:
    """The error resource of 3.6.1; `http_status` is a string."""
    fields: dict[str, Any] = {"title": title, "http_status": str(status)}
    if code:
        fields["error_code"] = code
    if path:
        fields["details"] = {"path": path}
    return answer(fields, status=status)


def accepts(header: str, *, also: Iterable[str] = ()) -> bool:
    """Whether an Accept list has a range that we serve; no header accepts all (1.6.8)."""
    if not header.strip():
        return True
    ours = {"application/taxii+json", *also}
    for name, parameters in _ranges(header):
        if parameters.get("q", "1").strip("0.") == "" and "q" in parameters:
            continue
        if name in ("*/*", "application/*"):
            return True
        if name in ours and parameters.get("version", "2.1") == "2.1":
            return True
    return False


def is_ours(content_type: str) -> bool:
    """Whether a Content-Type is TAXII 2.1, in any of its spellings."""
    ranges = _ranges(content_type)
    return any(
        name == "application/taxii+json" and parameters.get("version", "2.1") == "2.1"
        for name, parameters in ranges
    )


def stamp(moment: datetime) -> str:
    """A TAXII timestamp: always six digits, always Z (2)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def query_of(params: QueryDict, chosen: Collection) -> Query:
    """The filters of 3.4; Refused for what is malformed."""
    query = Query(limit=_limit(params), added_after=_added_after(params))
    if "next" in params:
        carried = _cursor(_single(params, "next"), chosen)
        query = replace(carried, limit=query.limit, added_after=query.added_after or None)
        query = replace(query, added_after=_later(query.added_after, carried.added_after))
    for field, name in (("ids", "id"), ("types", "type"), ("spec_versions", "spec_version")):
        values = _values(params, f"match[{name}]")
        if values:
            query = _with(query, field, values)
    versions = _versions(_values(params, "match[version]"))
    return replace(query, versions=versions) if versions else query


def deletion_of(params: QueryDict, chosen: Collection, object_id: str) -> Query:
    """What a DELETE picks (5.7): without `match[version]` every version of the object."""
    query = query_of(params, chosen)
    versions = query.versions if "match[version]" in params else ("all",)
    return Query(ids=(object_id,), versions=versions, spec_versions=query.spec_versions)


def cursor_text(chosen: Collection, query: Query, last: Held) -> str:
    """`next`: a position and the whole query, so that it may come back alone."""
    fields = [
        str(chosen.id)[:8],
        last.number,
        stamp(query.added_after) if query.added_after else None,
        query.ids,
        query.types,
        query.versions,
        query.spec_versions,
    ]
    return urlsafe_b64encode(_json(fields)).decode().rstrip("=")


def envelope(chosen: Collection, query: Query, page: Page) -> HttpResponse:
    """Stored bytes put together, never parsed (3.7)."""
    if not page.items:
        return answer({})
    head = b"{"
    if page.more:
        following = cursor_text(chosen, query, page.items[-1])
        head = b'{"more":true,"next":"%s",' % following.encode()
    body = b'%s"objects":[%s]}' % (head, b",".join(one.body for one in page.items))
    return answer(body, page=page)


def walked(query: Query, walk: Walk) -> bytes:
    """The envelope of a walk's page; what may lie in a file is the same for whoever walks there."""
    head = b"{"
    if walk.more:
        after = _json([walk.last_number, stamp(query.added_after) if query.added_after else None])
        head = b'{"more":true,"next":"%s",' % urlsafe_b64encode(after).rstrip(b"=")
    return b'%s"objects":[%s]}' % (head, b",".join(walk.bodies))


def served(found: Served, encoding: str) -> HttpResponse:
    """A page of a walk: its bytes, the file that the proxy or we send, or that it is unchanged."""
    walk, file = found.walk, found.file
    if walk is None:
        return answer({})
    if file is None and not found.body:
        response = HttpResponse(status=304, content_type=MEDIA)
    elif file is None:
        response = answer(found.body)
    else:
        response = _sent(file)
    if walk.key:
        response["ETag"] = f'"{walk.key}-{encoding}"'
    # Asked again each time: what was taken back must not be served from a copy on the way.
    response["Cache-Control"] = "private, no-cache" if walk.key else "private, no-store"
    response["X-TAXII-Date-Added-First"] = stamp(walk.first_at)
    response["X-TAXII-Date-Added-Last"] = stamp(walk.last_at)
    return response


def _sent(file: shelf.File) -> HttpResponse:
    if settings.SEALED_LOCATION:
        response = HttpResponse(content_type=MEDIA)
        response["X-Accel-Redirect"] = f"{settings.SEALED_LOCATION}{file.name}"
    else:
        response = HttpResponse(file.read(), content_type=MEDIA)
    response["Content-Digest"] = f"sha-256=:{file.digest}:"
    if file.encoding != "identity":
        response["Content-Encoding"] = file.encoding
    return response


def encoding_of(header: str) -> str | None:
    """The best of our encodings that an Accept-Encoding takes, or none (RFC 9110, 12.5.3)."""
    weights: dict[str, float] = {}
    for item in header.lower().split(","):
        name, _, parameters = item.strip().partition(";")
        weight = _WEIGHT.fullmatch(parameters.strip())
        weights[name.strip()] = float(weight[1]) if weight else 1.0 if not parameters else 0.0
    others = weights.get("*", 0.0)
    best = max(shelf.ENCODINGS[:-1], key=lambda name: weights.get(name, others))
    taken = weights.get(best, others)
    if taken > 0 and taken >= weights.get("identity", 0.0):
        return best
    # As it is may be sent unless that is refused in so many words.
    return "identity" if weights.get("identity", weights.get("*", 1.0)) > 0 else None


def etags(header: str) -> frozenset[str]:
    """The pages that an If-None-Match names, in whatever encoding (RFC 9110, 13.1.2)."""
    if not header:
        return frozenset()
    return frozenset(tag[1].partition("-")[0] for tag in _ETAG.finditer(header))


def manifest(chosen: Collection, query: Query, page: Page) -> HttpResponse:
    """One record for each version (5.3)."""
    records = [
        {
            "id": one.stix_id,
            "date_added": stamp(one.added_at),
            "version": one.version,
            "media_type": STIX_MEDIA,
        }
        for one in page.items
    ]
    return answer(_listed("objects", records, chosen, query, page), page=page)


def versions(chosen: Collection, query: Query, page: Page) -> HttpResponse:
    """The versions of one object (5.8)."""
    found = [one.version for one in page.items]
    return answer(_listed("versions", found, chosen, query, page), page=page)


def discovery(base_url: str) -> dict[str, Any]:
    """The discovery resource (4.1.1)."""
    root = f"{base_url}/taxii2/forum/"
    return {"title": "Weir", "default": root, "api_roots": [root]}


def api_root(most: int) -> dict[str, Any]:
    """The API root resource (4.2.1)."""
    return {"title": "Forum", "versions": [MEDIA], "max_content_length": most}


def collection(one: Collection) -> dict[str, Any]:
    """The collection resource (5.2.1)."""
    return {
        "id": str(one.id),
        "title": one.title,
        "description": one.description,
        "alias": one.alias,
        "can_read": one.can_read,
        "can_write": one.can_write,
        "media_types": [STIX_MEDIA],
    }


def status(found: Status) -> dict[str, Any]:
    """The status resource (4.3.1): each list that is there is as long as its count."""
    fields: dict[str, Any] = {
        "id": str(found.id),
        "status": found.state,
        "request_timestamp": stamp(found.received_at),
        "total_count": found.total,
        "success_count": found.successes,
        "failure_count": found.failures,
        "pending_count": found.pendings,
    }
    for name, success in (("successes", True), ("failures", False)):
        items = [_status_item(one) for one in found.items if one.success is success]
        if items:
            fields[name] = items
    return fields


def _status_item(one: StatusItem) -> dict[str, str]:
    item = {"id": one.stix_id, "version": one.version}
    return {**item, "message": one.message} if one.message else item


def _listed(
    name: str, items: Sequence[object], chosen: Collection, query: Query, page: Page
) -> dict[str, Any]:
    if not items:
        return {}
    fields: dict[str, Any] = {name: items}
    if page.more:
        fields |= {"more": True, "next": cursor_text(chosen, query, page.items[-1])}
    return fields


def _digest(body: bytes) -> str:
    return f"sha-256=:{b64(sha256(body).digest())}:"


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _ranges(header: str) -> list[tuple[str, Mapping[str, str]]]:
    found: list[tuple[str, Mapping[str, str]]] = []
    for match in _RANGE.finditer(header):
        parameters = {
            name.lower(): quoted or plain
            for name, quoted, plain in _PARAMETER.findall(match[2] or "")
        }
        found.append((match[1].lower(), parameters))
    return found


def _bad(name: str, sentence: str) -> Refused:
    return Refused("query.malformed", sentence, name)


def _single(params: QueryDict, name: str) -> str:
    values = params.getlist(name)
    if len(values) != 1:
        raise _bad(name, f"`{name}` stands at most once.")
    return str(values[0])


def _limit(params: QueryDict) -> int:
    if "limit" not in params:
        return MOST
    text = _single(params, "limit")
    digits = text.lstrip("0")
    if not re.fullmatch(r"[0-9]+", text) or not digits:
        raise _bad("limit", "`limit` is a positive whole number.")
    # A large one is no error (3.4), however many digits it has.
    return MOST if len(digits) > len(str(MOST)) else min(int(digits), MOST)


def _added_after(params: QueryDict) -> datetime | None:
    if "added_after" not in params:
        return None
    text = _single(params, "added_after")
    try:
        return _moment(text)
    except ValueError:
        raise _bad("added_after", "`added_after` is a timestamp in UTC.") from None


def _moment(text: str) -> datetime:
    """A timestamp in UTC with any number of digits, cut to microseconds; ValueError otherwise."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError
    whole = datetime.strptime(match[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    return whole.replace(microsecond=int(((match[2] or "") + "000000")[:6]))


def _values(params: QueryDict, name: str) -> tuple[str, ...]:
    if name not in params:
        return ()
    values = tuple(_single(params, name).split(","))
    if not all(values):
        raise _bad(name, f"`{name}` has an empty value.")
    if not all(value.isprintable() for value in values):
        raise _bad(name, f"`{name}` has a character that no value has.")
    return values


def _versions(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) != len(values):
        raise _bad("match[version]", "A version stands twice.")
    if "all" in values and len(values) > 1:
        raise _bad("match[version]", "`all` stands alone.")
    try:
        for value in set(values) - _KEYWORDS:
            _moment(value)
    except ValueError:
        raise _bad("match[version]", "A version is a keyword or a timestamp.") from None
    return values


def _with(query: Query, field: str, values: tuple[str, ...]) -> Query:
    changed: dict[str, Any] = {field: values}
    return replace(query, **changed)


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    found = [moment for moment in (one, other) if moment is not None]
    return max(found) if found else None


def _plain(part: object) -> tuple[str, ...]:
    """A list of texts without NUL, half a surrogate pair and the like; ValueError otherwise."""
    if not isinstance(part, list):
        raise ValueError
    if not all(isinstance(one, str) and one.isprintable() for one in part):
        raise ValueError
    return tuple(part)


def _cursor(text: str, chosen: Collection) -> Query:
    """Not trusted: it may only say what a query could have said (Appendix B)."""
    try:
        fields = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if len(fields) == 2 and chosen.kind in WALKED:  # a number, and from when
            fields = [str(chosen.id)[:8], *fields, [], [], ["last"], []]
        head, number, added_after, ids, types, wanted, spec = fields
        lists = [_plain(part) for part in (ids, types, wanted, spec)]
        if head != str(chosen.id)[:8] or type(number) is not int or not 0 <= number < 2**62:
            raise ValueError
        moment = None if added_after is None else _moment(added_after)
        found = _versions(lists[2])
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise _bad("next", "`next` is not one that we issued.") from None
    return Query(
        after=number,
        added_after=moment,
        ids=lists[0],
        types=lists[1],
        versions=found or ("last",),
        spec_versions=lists[3],
    )
