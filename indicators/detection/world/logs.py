"""A small world as raw logs: JSON Lines with prompts, as a gateway would write them.

For the demo and for whoever tries the extractor. Names are those of OpenTelemetry where it has
any; `MAP` says the rest. Nothing in it is anybody's: words are drawn from a list.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import numpy as np

from indicators.detection.world import forum as forums
from indicators.detection.world import log
from indicators.detection.world.crowd import CAPABILITIES, METHODS, SURFACES, Crowd
from indicators.detection.world.draws import Array, mixed

MAP = """version = "weir-map/1"

[columns]
payment = "card"
entity = "legal_entity"
device = "device_id"
signup = "signup_day"
mismatch = "sdk_mismatch"
capability = "capability"
method = "elicitation_method"
surface = "surface"

[releases]
"model-new" = {released}
"""
WORDS = tuple(
    "able about above across again almost along among answer apart around article aside balance"
    " basic before below between book bridge brief bring build careful carry chapter check choose"
    " circle city claim class clear close cloud column common compare complete condition copy"
    " corner correct cost count course cover create cross daily data decide deep define depend"
    " describe detail differ direct divide double draft early edge effect empty engine enough equal"
    " error even every exact example explain express fact family field figure final find first fit"
    " follow form free front full garden general give glass good grade grain ground group half hand"
    " happen hard head heat help high hold home hour house idea image inner inside iron item join"
    " judge keep kind know label lake land large last layer lead learn least left length letter"
    " level light limit line list local long loop lower main make many mark match matter mean"
    " measure middle mind model month morning motion move name narrow near need never next night"
    " noise north note number object offer often old open order other outer outline over page pair"
    " paper part pass past path pattern people phrase piece place plain plan plant point present"
    " problem proof question quick quiet quote range rate read reason record repeat report rest"
    " result return right river road room root round rule same sample scale scene school score"
    " second seed sentence serve shape sharp short side simple single slow small solve sort sound"
    " source south space speak spring stage stand start state step still stone story straight"
    " street strong study subject such summary sure table take tall task term test text thing think"
    " thought three time together tone tool top total town trace train tree true turn under unit"
    " upper value verse very view voice walk wall watch water wave week well west white whole wide"
    " window winter wise wood word work write year young".split()
)
_LENGTHS = (40, 70, 110)
_PHRASE = (6, 25)
_OFTEN = 0.7  # share of an account's prompts that follow its templates
LIGHT = (0.35, 0.5)  # of ordinary people: of days and events, so that a demo is quick


def small(seed: int, members: int = 4, *, middle: int = 6_000) -> forums.Forum:
    """A forum of small members with few campaigns, each account lighter than in the large world."""
    made = forums.forum(seed, members, middle=middle, campaigns=6)
    return replace(made, crowds=tuple(_lighter(crowd) for crowd in made.crowds))


def map_of(last: date = log.LAST) -> str:
    """The map (TOML) that the extractor needs for these logs."""
    day = log.day_of(last, log.RELEASED)
    return MAP.format(released=datetime.combine(day, time(), UTC).isoformat())


def lines(forum: forums.Forum, member: int, *, last: date = log.LAST) -> Iterator[bytes]:
    """The events of a member over the window, in the order of time, a line each."""
    crowd = forum.crowds[member]
    rng = np.random.default_rng([forum.seed, 2_000 + member])
    account, back, counts = log.use(rng, crowd)
    where, hour = np.nonzero(counts)
    many = counts[where, hour]
    events: Array = np.repeat(np.arange(len(where)), many)
    who, ago = account[where][events], back[where][events]
    second = hour[events] * 3_600 + rng.integers(0, 3_600, len(events))
    order = np.lexsort((who, second, -ago))
    writer = _Writer(rng, crowd, last)
    for place in order.tolist():
        yield writer.line(int(who[place]), int(ago[place]), int(second[place]))


def _lighter(crowd: Crowd) -> Crowd:
    lawful = ~forums.is_guilty(crowd)
    return replace(
        crowd,
        active=np.where(lawful, crowd.active * LIGHT[0], crowd.active),
        events=np.where(lawful, np.minimum(crowd.events * LIGHT[1], 60), crowd.events),
    )


class _Writer:
    """What an account's events look like."""

    def __init__(self, rng: Array, crowd: Crowd, last: date) -> None:
        self._rng = rng
        self._crowd = crowd
        self._last = last
        self._held: list[dict[int, list[int]]] = [{}, {}, {}]
        pairs = zip(
            crowd.token_account.tolist(), crowd.token_kind.tolist(), crowd.token.tolist(),
            strict=True,
        )  # fmt: skip
        for account, kind, token in pairs:
            self._held[kind].setdefault(account, []).append(token)
        self._used: dict[int, list[int]] = {}
        for account, used in zip(crowd.used_account.tolist(), crowd.used.tolist(), strict=True):
            self._used.setdefault(account, []).append(used)
        self._tag = dict(zip(crowd.tag_account.tolist(), crowd.tag.tolist(), strict=True))
        self._texts: dict[int, list[str]] = {}

    def line(self, account: int, ago: int, second: int) -> bytes:
        """One event."""
        crowd, day = self._crowd, log.day_of(self._last, ago)
        at = datetime.combine(day, time(), UTC) + timedelta(seconds=second)
        new = ago == log.RELEASED and bool(crowd.moved[account])
        tag, surface = self._tag.get(account), int(crowd.surface[account])
        content = self._prompt(account)
        event = {
            "user.id": f"acct-{account:07d}",
            "start_time": at.isoformat().replace("+00:00", "Z"),
            "gen_ai.request.model": "model-new" if new else "model-old",
            "gen_ai.operation.name": "chat",
            "gen_ai.input.messages": json.dumps(
                [{"role": "user", "parts": [{"type": "text", "content": content}]}]
            ),
            "gen_ai.usage.input_tokens": len(content.split()),
            "client.address": self._one(2, account, "2001:db8::{0:x}:{1:x}"),
            "user_agent.original": f"client-{int(crowd.client[account])}/1.0",
            "card": self._one(0, account, "card-{0:04x}{1:04x}"),
            "device_id": self._one(1, account, "device-{0:04x}{1:04x}"),
            "signup_day": log.day_of(self._last, int(crowd.age[account])).isoformat(),
            "legal_entity": f"le-{int(crowd.entity[account])}" if crowd.known[account] else None,
            "sdk_mismatch": bool(crowd.mismatch[account]),
            "elicitation_method": METHODS[tag] if tag is not None else None,
            "capability": CAPABILITIES[tag] if tag is not None else None,
            "surface": SURFACES[surface] if surface >= 0 else None,
        }
        return json.dumps(event, separators=(",", ":")).encode() + b"\n"

    def _one(self, kind: int, account: int, form: str) -> str | None:
        held = self._held[kind].get(account)
        if not held:
            return None
        token = held[int(self._rng.integers(len(held)))]
        return form.format(token >> 16, token & 0xFFFF)

    def _prompt(self, account: int) -> str:
        used = self._used.get(account)
        if used is None or self._rng.random() > _OFTEN:
            return " ".join(self._words(int(self._rng.integers(*_PHRASE))))
        text = self._template(used[int(self._rng.integers(len(used)))])
        slots = iter(self._words(8))
        return " ".join(word or " ".join(next(slots) for _ in range(2)) for word in text)

    def _words(self, count: int) -> list[str]:
        return [WORDS[place] for place in self._rng.integers(0, len(WORDS), count).tolist()]

    def _template(self, number: int) -> list[str]:
        """Its words; an empty one is a slot."""
        if number not in self._texts:
            drawn = mixed(np.arange(max(_LENGTHS)), 1_000 + number)
            length = _LENGTHS[int(drawn[0] % len(_LENGTHS))]
            text = [WORDS[int(word)] for word in drawn[:length] % len(WORDS)]
            text[length // 3] = text[2 * length // 3] = ""
            self._texts[number] = text
        return self._texts[number]
