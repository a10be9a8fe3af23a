"""A member's log, folded (tables.LOG), of the accounts that it has: 45 days, by numpy alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
from pyarrow import compute

from indicators.detection import schema
from indicators.detection.world.crowd import CAPABILITIES, METHODS, NOBODY, SURFACES, Crowd
from indicators.detection.world.draws import Array, Table, hexes, mixed

EPOCH = date(1970, 1, 1)
LAST = date(2026, 11, 2)  # of every world and scene, unless it says otherwise
RELEASED = 17  # days before the last: a public release of a model
ASTRAY = 0.03  # share of events outside of an account's hours
MIDDLE = (20, 500)  # events of a day: more than a person's, less than a batch's
# Salts of what is written as a digest.
_TOKEN, _BAND, _LOST, _CLIENT, _ENTITY = 1, 2, 3, 4, 5
LANGUAGES = ("en", "zh", "de en", "en es", "ja")


@dataclass(frozen=True, slots=True)
class Log:
    """The tables, and what is true of the accounts in them (never part of a table)."""

    tables: Mapping[str, Table]
    crowd: Crowd
    last: date


def written(
    rng: Array, crowd: Crowd, *, last: date = LAST, home: int = 0, days: Table = None
) -> Log:
    """The log that these accounts leave behind; `home` keeps one member's near templates apart.

    `days` are those that were written already, where several logs become one.
    """
    end = (last - EPOCH).days
    templates, used = np.unique(crowd.used, return_inverse=True)
    tables = {
        "account": _accounts(crowd, end),
        "account_day": _days(rng, crowd, end) if days is None else days,
        "account_token": _tokens(crowd),
        "account_tag": _tags(crowd),
        "account_template": pa.table(
            {"account": pa.array(crowd.used_account, pa.int64()), "template": pa.array(used)}
        ),
        "template": _templates(templates, used),
        "template_band": _bands(rng, crowd, templates, used, home),
    }
    return Log(tables, crowd, last)


def day_of(last: date, ago: int) -> date:
    """A day, counted back from the last."""
    return last - timedelta(days=ago)


def token(numbers: Array) -> Table:
    """The forum's tokens of cards, devices and addresses: equal at every member."""
    return hexes(numbers, _TOKEN, 64)


def evenness(counts: Array) -> Array:
    """How even 24 hours are, 0 to 9: what of the day would lie as it does if all were equal."""
    total = counts.sum(axis=1)
    level = np.minimum(counts * schema.HOURS, total[:, None]).sum(axis=1)
    return 9 * level // np.maximum(1, schema.HOURS * total)


def _dates(days: Array) -> Table:
    return pa.array(np.asarray(days, dtype=np.int32)).cast(pa.date32())


def _texts(words: tuple[str, ...], places: Array) -> Table:
    chosen = pa.DictionaryArray.from_arrays(pa.array(np.asarray(places, np.int32)), pa.array(words))
    return chosen.cast(pa.string())


def _accounts(crowd: Crowd, end: int) -> Table:
    every = np.arange(len(crowd))
    known = hexes(crowd.entity, _ENTITY, 64)
    entity = compute.if_else(pa.array(crowd.known), known, pa.scalar(""))
    return pa.table(
        {
            "account": pa.array(every, pa.int64()),
            "first_day": _dates(end - crowd.age),
            "carded": pa.array(np.isin(every, crowd.token_account[crowd.token_kind == 0])),
            "deviced": pa.array(np.isin(every, crowd.token_account[crowd.token_kind == 1])),
            "entity": entity,
        }
    )


def use(rng: Array, crowd: Crowd) -> tuple[Array, Array, Array]:
    """Account, days back and the counts of 24 hours, of each account and day with any use."""
    ago = np.arange(schema.DAYS)[None, :]
    open_days = (ago <= np.minimum(crowd.age, schema.DAYS)[:, None]) & (ago >= crowd.gone[:, None])
    active = rng.random(open_days.shape) < crowd.active[:, None]
    # Who moves to a released model is there on that day.
    arrives = crowd.moved[:, None] & (ago == RELEASED)
    account, back = np.nonzero(open_days & (active | arrives))
    busy = crowd.events[account] * np.exp(0.5 * rng.standard_normal(len(account)))
    events = rng.poisson(busy)
    some = np.flatnonzero(events)
    account, back, events = account[some], back[some], events[some]
    return account, back, _hours(rng, crowd, account, events)


def _hours(rng: Array, crowd: Crowd, account: Array, events: Array) -> Array:
    """How many of a day's events fall into each hour: in the account's hours, a few in any."""
    day: Array = np.repeat(np.arange(len(account)), events)
    who = account[day]
    drawn = rng.random(len(day), dtype=np.float32)
    hour = crowd.centre[who] + crowd.width[who] * (drawn - 0.5)
    astray = rng.random(len(day), dtype=np.float32) < ASTRAY
    hour = np.where(astray, schema.HOURS * drawn, hour).astype(np.int64) % schema.HOURS
    counts = np.bincount(day * schema.HOURS + hour, minlength=len(account) * schema.HOURS)
    return counts.reshape(-1, schema.HOURS)


def _days(rng: Array, crowd: Crowd, end: int) -> Table:
    account, back, counts = use(rng, crowd)
    events = counts.sum(axis=1)
    digits = 9 * counts // counts.max(axis=1, initial=1)[:, None]
    powers: Array = 10 ** np.arange(11, -1, -1)
    client = hexes(crowd.client, _CLIENT, 32)
    return pa.table(
        {
            "account": pa.array(account, pa.int64()),
            "day": _dates(end - back),
            "events": pa.array(events, pa.int64()),
            "flat": pa.array(evenness(counts), pa.int64()),
            "am": pa.array(digits[:, :12] @ powers, pa.int64()),
            "pm": pa.array(digits[:, 12:] @ powers, pa.int64()),
            "mid": pa.array((events >= MIDDLE[0]) & (events < MIDDLE[1])),
            "mismatch": pa.array(crowd.mismatch[account]),
            "moved": pa.array(crowd.moved[account] & (back == RELEASED)),
            "client": client.take(pa.array(account)),
        }
    )


def _tokens(crowd: Crowd) -> Table:
    pairs = np.unique(np.stack([crowd.token_account, crowd.token_kind, crowd.token]), axis=1)
    return pa.table(
        {
            "account": pa.array(pairs[0], pa.int64()),
            "kind": _texts(schema.KINDS, pairs[1]),
            "token": token(pairs[2]),
        }
    )


def _tags(crowd: Crowd) -> Table:
    noted = np.flatnonzero(crowd.surface != NOBODY)
    kinds = ("method", "capability", "surface")
    parts = (crowd.tag_account, crowd.tag_account, noted)
    words = (METHODS, CAPABILITIES, SURFACES)
    places = (crowd.tag, crowd.tag, crowd.surface[noted])
    return pa.table(
        {
            "account": pa.array(np.concatenate(parts), pa.int64()),
            "kind": _texts(kinds, np.repeat([0, 1, 2], [len(part) for part in parts])),
            "tag": pa.concat_arrays(
                [_texts(word, place) for word, place in zip(words, places, strict=True)]
            ),
        }
    )


def _templates(templates: Array, used: Array) -> Table:
    holders = np.bincount(used, minlength=len(templates)) if len(used) else np.zeros(0, np.int64)
    drawn = mixed(templates, 11)
    return pa.table(
        {
            "template": pa.array(np.arange(len(templates)), pa.int64()),
            "length": pa.array((1 + drawn % 3).astype(np.int64)),
            "samples": pa.array(holders * (8 + (drawn >> np.uint64(8)) % 40).astype(np.int64)),
            "languages": _texts(LANGUAGES, ((drawn >> np.uint64(16)) % 8 % 5).astype(np.int64)),
        }
    )


def _bands(rng: Array, crowd: Crowd, templates: Array, used: Array, home: int) -> Table:
    """Each band of a template is the common one, or, as its slots would have it, this member's."""
    steady = np.zeros(len(templates))
    steady[used] = crowd.steady / 1000
    # Two consensus sets of likeness J share a band of four rows with J^4: each keeps J^2 of them.
    kept = rng.random((len(templates), schema.BANDS)) < (steady**2)[:, None]
    common = templates[:, None] * schema.BANDS + np.arange(schema.BANDS)
    lost = mixed(common, _LOST + 2 * home).astype(np.int64)
    band = np.tile(np.arange(schema.BANDS), len(templates))
    return pa.table(
        {
            "template": pa.array(np.repeat(np.arange(len(templates)), schema.BANDS), pa.int64()),
            "band": pa.array(band, pa.int64()),
            "value": hexes(np.where(kept, common, lost).ravel(), _BAND, 16),
        }
    )
