"""Tell one contribution's way as it happens, on the running exchange.

Everything is read back from the exchange itself: nothing here is acted out.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.db.models import QuerySet
from django.utils import timezone
from tqdm import tqdm

from exchange import audiences, contribute, delivery, docket, proposed, review
from exchange.management.demo import campaign, cast, evidence, pool
from exchange.management.demo.scene import Parts, Scene
from exchange.models import Hold, Outcome, ReleaseRecipient, Subscription
from exchange.policy.explain import Line
from exchange.proof.refused import Refused
from indicators.models import Contribution, Item
from indicators.stix import parse
from members import onboarding
from members.auth import Principal

SUBSCRIBED = ("Borealis", "Ember")
WEBHOOK = "Demo receiver"
LINKS_LAST = timedelta(hours=12)
BASIS = ("fraudulent-identity",)
_ANALYST = frozenset({"analyst"})
_WHAT_TO_SEE = {
    "Ana": "her contribution, object by object as each recipient sees it; contribute more",
    "Abel": "every disclosure by and to Aurora",
    "Alma": "what Aurora's counsel decides",
    "Ben": "what Borealis received; its webhook and credentials",
    "Cleo": "the forum's part only: Cirrus is not in the circle",
    "Dora": "the queue of holds, the floor",
    "Otto": "ledger and verdicts, no originals",
    "Pia": "members, health, no content",
}


@dataclass(frozen=True, slots=True)
class _Sent:
    """What was contributed, and under which number."""

    id: UUID
    body: bytes
    circle: str


def tell(parts: Parts, scene: Scene) -> None:
    """The story from contribution to verified archive; then the links of each role."""
    started = timezone.now()
    _subscribe(scene)
    sent = _contribute(scene)
    if sent:
        main = sent[0]
        _outcomes(scene, main)
        _counsel(scene, main)
        _windows(scene, sent, started)
        _received_by_whom(scene, sent)
        _removed(scene, main)
        evidence.ledger_head(scene)
        evidence.pushed(scene, started)
        evidence.pulled(scene, started, has_circle=parts.bundle is None)
        evidence.offline(scene, started)
    if parts.bundle is None:
        pool.tell(scene, parts.received.parent / "pool")
    _links(scene)


def _subscribe(scene: Scene) -> None:
    """Borealis and Ember have everything pushed; the endpoint must answer a signed test first."""
    scene.head("Two members have everything pushed to a webhook")
    urls = {name: f"{scene.parts.hooks}/{name.lower()}" for name in SUBSCRIBED}
    for name, url in urls.items():
        _subscribe_one(scene, name, url)
    active = Subscription.objects.filter(url__in=urls.values(), state="active")
    scene.watch("webhooks verified", active.count, goal=lambda: len(urls))
    for name, url in urls.items():
        scene.item(name, f"{url} answered a signed test.")


def _subscribe_one(scene: Scene, name: str, url: str) -> None:
    member = scene.cast.labs[name]
    # Ember has nobody here, so the operator acts for both.
    principal = Principal(member_id=member.id, user_id=scene.cast.people["Pia"].id, roles=_ANALYST)
    now = timezone.now()
    ours = Subscription.objects.filter(member=member, name=WEBHOOK).exclude(state="removed")
    for row in ours.exclude(url=url):  # the port was taken this time
        delivery.remove(principal, row.id, now=now)
    found = ours.filter(url=url).first()
    if found is None:
        delivery.subscribe(principal, name=WEBHOOK, url=url, circle_id=None, now=now)
    elif found.state == "unverified":
        delivery.verify(principal, found.id, now=now)
    elif found.state != "active":
        Subscription.objects.filter(pk=found.id).update(state="suspended")
        delivery.resume(principal, found.id)


def _contribute(scene: Scene) -> list[_Sent]:
    """Ana posts over TAXII, with the client that everybody uses; a file goes by the same verb."""
    scene.head("Aurora contributes")
    if scene.parts.bundle is not None:
        return _contribute_file(scene)
    now = timezone.now()
    whole = campaign.bundle(now=now, new_id=_new_id)["objects"]
    part = campaign.relay_watch(now=now, new_id=_new_id)["objects"]
    scene.item("forum", f"Ana posts a campaign of {len(whole)} STIX objects by taxii2-client.")
    scene.item(
        "circle",
        f"{len(part)} more go to `relay watch` only: Aurora, Borealis, Ember; not Cirrus or Fjord.",
    )
    posted = [("inbox-forum", whole), ("inbox-relay-watch", part)]
    sent = []
    for alias, objects in posted:
        collection = scene.collection("Ana", alias)
        status = collection.add_objects({"objects": objects}, wait_for_completion=False)
        body = json.dumps({"objects": objects}).encode()
        sent.append(_Sent(UUID(str(status.id)), body, alias.removeprefix("inbox-")))
    return _taken(scene, sent)


def _contribute_file(scene: Scene) -> list[_Sent]:
    path = scene.parts.bundle
    assert path is not None  # noqa: S101 - the caller looked
    body = path.read_bytes()
    scene.item("forum", f"Ana uploads {path.name}, {len(body):,} octets, default basis {BASIS[0]}.")
    try:
        made = contribute.submit(
            scene.cast.principal("Ana"),
            body,
            circle_id=scene.cast.forum.id,
            source="file",
            default_basis=BASIS,
            now=timezone.now(),
        )
    except Refused as refused:
        scene.item("refused", f"{refused.sentence} Nothing of it was kept.")
        return []
    return _taken(scene, [_Sent(made, body, "forum")])


def _taken(scene: Scene, sent: list[_Sent]) -> list[_Sent]:
    ana = scene.cast.principal("Ana")

    def complete() -> int:
        return sum(contribute.status(ana, one.id).state == "complete" for one in sent)

    scene.watch("taken in by the worker, recorded by the ledger", complete, goal=lambda: len(sent))
    scene.item("answer", "202, then a status that accounts for every object.")
    return sent


def _outcomes(scene: Scene, main: _Sent) -> None:
    """Every object is accounted for."""
    scene.head("What became of each object")
    status = contribute.status(scene.cast.principal("Ana"), main.id)
    outcome_at = _outcome_at(main)
    reasons: dict[str, Counter[str]] = {name: Counter() for name in _OUTCOMES}
    for item in status.items:
        name = outcome_at.get(item.position, "no change") if item.success else "refused"
        text = item.message if name == "refused" else item.message.partition(": ")[2]
        reasons[name][text[:1].upper() + text[1:]] += 1
    for name, means in _OUTCOMES.items():
        count = sum(reasons[name].values())
        if count:
            scene.item(f"{count:5}  {name}", means, width=17)
        for reason, times in reasons[name].most_common(25 if name in _EXPLAINED else 0):
            scene.item("", f"- {reason}" + (f" ({times} times)" if times > 1 else ""), width=17)
    total = sum(sum(one.values()) for one in reasons.values())
    scene.item(f"{total:5}  in all", f"of {status.total} contributed.", width=17)


def _outcome_at(main: _Sent) -> dict[int, str]:
    """What was decided by this contribution, by the position of the object in it."""
    rows = Outcome.objects.filter(contribution_id=main.id)
    decided = dict(rows.values_list("version_id", "outcome"))
    items = Item.objects.filter(contribution_id=main.id, version_id__in=decided).order_by(
        "position"
    )
    first = {pk: position for position, pk in reversed(items.values_list("position", "version_id"))}
    return {position: decided[pk] for pk, position in first.items() if pk is not None}


_OUTCOMES = {
    "accepted": "goes on, in the window of its sensitivity",
    "held": "kept; a person decides first",
    "incomplete": "kept; goes nowhere until its contributor adds a threat basis",
    "withheld": "kept; nothing of it may pass under this floor",
    "refused": "not kept",
    "no change": "known already or a public constant: nothing is decided again",
}
_EXPLAINED = ("held", "incomplete", "withheld", "refused")


def _counsel(scene: Scene, main: _Sent) -> None:
    """Dora releases what is hers alone; an attribution needs Alma, for the contributor, too."""
    holds = Hold.objects.filter(outcome__contribution_id=main.id, state=Hold.State.OPEN)
    if not holds.exists():
        return
    scene.head("Counsel decides what a machine must not")
    classes = Counter(row.field_class for row in docket.queue(scene.cast.principal("Dora")).rows)
    scene.item(
        "Dora",
        "is the forum's counsel. Her queue shows class and reason, never text: "
        + ", ".join(f"{name} {count}" for name, count in sorted(classes.items())),
    )
    alone = _only_by(holds, {docket.FORUM_COUNSEL})
    if alone:
        reason = "What raised it is free text, and that does not leave anyway."
        now = timezone.now()
        dora = scene.cast.principal("Dora")
        review.open_original(dora, alone[0].id, reason="to judge it", now=now)
        scene.item("Dora", "opens one original; that is recorded first, and Aurora can see it.")
        _release(scene, "Dora", alone, reason)
        scene.item("Dora", f"releases it ({alone[0].reason.rstrip('.')}) and writes: {reason}")
    both = _only_by(
        holds.filter(field_class="C13"), {docket.FORUM_COUNSEL, docket.CONTRIBUTOR_COUNSEL}
    )
    if both:
        _release(scene, "Dora", both, "Statistical, and it names nobody.")
        _release(scene, "Alma", both, "We stand by the evidence.")
        scene.item(
            "Alma", "and Dora release evidence of class C13: attribution needs both counsel."
        )


def _only_by(holds: QuerySet[Hold], approvers: set[str]) -> list[Hold]:
    """All holds of one object that just these judge, and that would then leave."""
    for row in holds.select_related("outcome__version__object").order_by("outcome_id"):
        every = list(row.outcome.holds.all())
        is_sent = row.outcome.version.object.stix_type in _LEAVE
        if is_sent and all(set(one.approvers) == approvers for one in every):
            return every
    return []


_LEAVE = ("indicator", "model-provenance-evidence", "campaign", "infrastructure")


def _release(scene: Scene, person: str, rows: list[Hold], reason: str) -> None:
    principal, now = scene.cast.principal(person), timezone.now()
    review.act(principal, [row.id for row in rows], act="release", reason=reason, now=now)


def _windows(scene: Scene, sent: list[_Sent], started: datetime) -> None:
    """What waits leaves when its window opens."""
    scene.head("The windows open")
    _, floor = audiences.floor_in_force()
    scene.item(
        "floor",
        f"{floor.document['note']} (As shipped: S1 at once, S2 each quarter of an hour, S3 each"
        " hour.) What counsel has just released leaves with the rest.",
    )
    rows = Outcome.objects.filter(
        contribution_id__in=[one.id for one in sent], outcome="accepted", replaced=False
    )
    told: set[tuple[datetime | None, UUID]] = set()
    circles = {one.id: one.circle for one in sent}

    def released() -> int:
        gone = rows.filter(released_at__isnull=False)
        moments = set(gone.values_list("released_at", "contribution_id"))
        for at, contribution in sorted(moments - told, key=str):
            told.add((at, contribution))
            leaving = gone.filter(released_at=at, contribution_id=contribution, missing=None)
            _tell_window(scene, f"{at:%H:%M:%S}", circles[contribution], leaving)
        return gone.count()

    count = scene.watch("objects released", released, goal=rows.count)
    parts = ReleaseRecipient.objects.filter(release__committed_at__gte=started)
    entries = scene.watch(
        "ledger entries published", parts.filter(added_at__isnull=False).count, goal=parts.count
    )
    waiting = rows.exclude(missing=None).distinct().count()
    scene.item(
        "in all",
        f"{count - waiting} objects left; {entries} ledger entries under a checkpoint."
        + (f" {waiting} wait for an object that they refer to." if waiting else ""),
    )


def _tell_window(scene: Scene, at: str, circle: str, rows: QuerySet[Outcome]) -> None:
    by_level = Counter(rows.values_list("sensitivity", flat=True))
    levels = ", ".join(f"{name}: {count}" for name, count in sorted(by_level.items()))
    with tqdm.external_write_mode(file=sys.stderr):
        scene.item(at, f"{sum(by_level.values())} objects leave for the {circle} ({levels}).")


def _received_by_whom(scene: Scene, sent: list[_Sent]) -> None:
    """What each member gets: of the forum's contribution, and of the circle's."""
    scene.head("What each member got")
    got: dict[str, Counter[str]] = {}
    for one in sent:
        rows = ReleaseRecipient.objects.filter(
            release__contribution_id=one.id, recipient__isnull=False
        ).values_list("recipient__name", "release__count")
        got[one.circle] = Counter()
        for name, count in rows:
            got[one.circle][name] += count
    circles = [one.circle for one in sent]
    scene.say("  " + " " * 10 + "".join(f"{circle:>14}" for circle in circles))
    for name in cast.LABS:
        scene.say(f"  {name:10}" + "".join(f"{got[circle][name]:14}" for circle in circles))
    left = Outcome.objects.filter(
        contribution_id=sent[0].id, outcome="accepted", released_at__isnull=False, missing=None
    )
    again = left.count() - got[circles[0]]["Borealis"]
    if again > 0:
        scene.say(
            f"  Borealis holds {again} of them already, byte for byte; they are not sent twice."
        )


def _removed(scene: Scene, main: _Sent) -> None:
    """Which rule took what away from the objects that left."""
    scene.head("What was removed or changed on the way, by which rule")
    seen = proposed.preview(
        scene.cast.principal("Ana"),
        main.body,
        circle_id=scene.cast.forum.id,
        default_basis=BASIS if Contribution.objects.get(pk=main.id).default_basis else (),
        limit=parse.Limits().objects,
        now=timezone.now(),
    )
    lines: list[Line] = []
    for item in seen.items:
        if item.outcome == "accepted" and item.audiences:
            lines += item.audiences[0].lines
    changed: Counter[tuple[str, str, str]] = Counter(_changed(lines))
    total = sum(changed.values())
    scene.say(f"  {total} of {len(lines)} fields did not pass as they came:")
    for (treatment, rule, basis), count in changed.most_common(12):
        scene.item(f"{count:5}  {treatment:8} {rule}", basis, width=40)
    scene.say("  Who receives is not told that anything was removed; Ana sees it all on her page.")


def _changed(lines: list[Line]) -> Iterator[tuple[str, str, str]]:
    for line in lines:
        if line.treatment != "pass":
            yield line.treatment, line.rule, line.reason


def first_link(scene: Scene) -> None:
    """Who cannot wait for the end of the story can look around now."""
    scene.say(f"  Sign in as Ana, analyst at Aurora:\n  {_link(scene, 'Ana')}")
    scene.say("  Links of all roles follow at the end.")


def _link(scene: Scene, name: str) -> str:
    person = scene.cast.people[name]
    secret = onboarding.sign_in_link(person, now=timezone.now(), lasts=LINKS_LAST, uses=1000)
    return f"{scene.parts.base_url}/sign-in/{secret}/"


def _links(scene: Scene) -> None:
    scene.head("Look for yourself: these links sign you in (12 hours, as often as you like)")
    for name, roles, lab in cast.PEOPLE:
        who = f"{roles[0]} {'at ' + lab if lab else 'of the forum'}"
        scene.item(name, f"{who}: {_WHAT_TO_SEE[name]}", width=5)
        scene.say(f"         {_link(scene, name)}")
    scene.say("\n  The same over TAXII, as Borealis (the credential lasts a day):")
    accept = "Accept: application/taxii+json;version=2.1"
    path = "/taxii2/forum/collections/holding/objects/?limit=3"
    secret = scene.secret_of("Ben")
    scene.say(f"  curl -u any:{secret} -H '{accept}' \\\n    '{scene.parts.base_url}{path}'")


def _new_id(stix_type: str) -> str:
    return f"{stix_type}--{uuid4()}"
