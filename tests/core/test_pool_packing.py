"""An extract as it is sealed says what its files said, and a run's child reads it whole or not."""

import base64
import json
from dataclasses import replace
from io import BytesIO

import pytest

from exchange.proof.refused import Refused
from indicators.detection import opening, packing, rules, schema, sealing
from indicators.detection.values import Extract
from tests.extracts import TODAY, extract, largest, spoiled

KEY, NONCE = b"k" * sealing.KEY, b"n" * sealing.NONCE
EPOCH = rules.epoch_of(TODAY)


def bare() -> Extract:
    """As little as an extract may say."""
    row = replace(
        extract(2, rows=1).clusters[0],
        devices=schema.FEW,
        device=(),
        egress=(),
        client=(),
        templates=(),
        capabilities=(),
        hours="0" * schema.HOURS,
        surface=(),
    )
    return Extract(extract().manifest, (row,), ())


@pytest.mark.parametrize("made", [extract(1), extract(7, rows=20), largest(), bare()])
def test_what_is_packed_is_what_was_sent(made: Extract) -> None:
    body = packing.pack(made)
    assert packing.unpack(body) == made
    assert packing.pack(made) == body


def test_every_column_of_the_files_is_in_it() -> None:
    """A column that packing left out would be the same in both; so each is changed once."""
    good = extract(1)
    row = good.clusters[0]
    changed = {
        "payment": row.payment[:-1],
        "hours": "1" * schema.HOURS,
        "first_day": TODAY,
        "last_day": TODAY,
        "methods": schema.METHODS[:2],
        **{name: 10 - getattr(row, name) for name in schema.SHARES},
    }
    for name, value in changed.items():
        other = packing.unpack(packing.pack(spoiled(good, 0, **{name: value})))
        assert getattr(other.clusters[0], name) == value
    spoken = replace(good.templates[0], languages=("de", "yue"), sample_bucket=schema.SAMPLES[-1])
    other = packing.unpack(packing.pack(replace(good, templates=(spoken, *good.templates[1:]))))
    assert other.templates[0] == spoken


@pytest.mark.parametrize("cut", [0, 7, 40, 200, -8])
def test_what_is_cut_or_of_another_form_is_refused(cut: int) -> None:
    body = packing.pack(extract(1, rows=20))
    for odd in (body[:cut], b"x" + body[1:], body + b"\0" * 8):
        with pytest.raises(Refused, match="no extract"):
            packing.unpack(odd)


# --- what a run's child reads ---------------------------------------------------------------------


def sent(*extracts: tuple[int, str, Extract]) -> bytes:
    """What a child is given behind its head, but for the end."""
    found = bytearray()
    for owner, member, made in extracts:
        aad = f"{member} {made.manifest.day}".encode()
        about = {
            "owner": owner,
            "day": made.manifest.day.isoformat(),
            "member": member,
            "aad": base64.b64encode(aad).decode(),
        }
        sealed = sealing.seal(KEY, NONCE, packing.pack(made), aad=aad)
        for one in (json.dumps(about).encode(), KEY, sealed):
            found += len(one).to_bytes(opening.LENGTH) + one
    return bytes(found)


END = (0).to_bytes(opening.LENGTH)


def of_another_quarter(made: Extract) -> Extract:
    return replace(made, manifest=replace(made.manifest, key_epoch="2026Q3"))


def test_a_run_reads_the_extracts_of_its_quarter_and_knows_all_owners() -> None:
    first, second = extract(1, rows=20), extract(2, rows=20)
    old = of_another_quarter(extract(3, rows=20))
    stream = sent((0, "b", first), (0, "a", old), (1, "c", second)) + END
    opened = opening.read(BytesIO(stream), EPOCH)
    assert [packing.unpack(bytes(one.body)) for one in opened.sent] == [first, second]
    assert [(one.member, one.source) for one in opened.sent] == [(0, "b"), (1, "c")]
    assert {one.day for one in opened.sent} == {TODAY}
    assert opened.owners == {0: "a", 1: "c"}


def test_a_run_that_is_given_half_of_the_pool_comes_to_nothing() -> None:
    """Where the exchange ended in the middle, what was read by then is no run."""
    stream = sent((0, "a", extract(1, rows=20)), (1, "b", extract(2, rows=20)))
    for cut in (len(stream), len(stream) - 1, len(stream) // 2, len(stream) // 2 + 11, 5):
        with pytest.raises(Refused):
            opening.read(BytesIO(stream[:cut]), EPOCH)


def test_a_day_that_was_sealed_for_another_place_does_not_open() -> None:
    stream = bytearray(sent((0, "a", extract(1, rows=20))) + END)
    stream[-len(END) - 1] ^= 1
    with pytest.raises(Refused, match="do not open"):
        opening.read(BytesIO(stream), EPOCH)


def test_a_pool_in_which_nothing_is_opens() -> None:
    assert opening.read(BytesIO(END), EPOCH).sent == []
