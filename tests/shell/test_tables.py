"""What the statistics lane told is judged again, by the floor that it was told under."""

from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from django.conf import LazySettings

from exchange import tables
from exchange.models import (
    FloorPolicy,
    JudgedTable,
    StatisticsBlock,
    StatisticsCell,
    StatisticsTable,
)
from exchange.policy.terms import Floor
from exchange.proof import jcs
from members.models import Member
from members.scope import Acting, acting
from tests.shell import sharing
from tests.shell.sharing import NOON

pytestmark = pytest.mark.django_db


@pytest.fixture
def labs(settings: LazySettings, tmp_path: Path) -> list[Member]:
    """Nine labs: enough for a figure of which none has too much."""
    sharing.set_up(settings, tmp_path)
    for n in range(4):
        Member.objects.create(name=f"Lab {n}", slug=f"lab-{n}", joined_at=NOON)
    return list(Member.objects.order_by("name"))


def told(labs: list[Member], figure: int | None, sizes: dict[int, int]) -> StatisticsTable:
    """A table with one figure, as the lane writes it."""
    row = FloorPolicy.objects.get()
    cells = {"all": figure}
    said = {
        "v": 1,
        "measure": "accepted",
        "period": "2026-Q1",
        "floor": Floor.parse(row.document).digest,
        "cells": cells,
    }
    made = StatisticsTable.objects.create(
        measure="accepted",
        period="2026-Q1",
        floor=row,
        due_at=NOON,
        digest=sha256(jcs.encode(said)).digest(),
    )
    StatisticsCell.objects.create(table=made, row="all", figure=figure)
    if figure is not None:
        parts = {str(labs[n].id): size for n, size in sizes.items()}
        StatisticsBlock.objects.create(table=made, name="all", parts=parts)
    return made


def judged(table: StatisticsTable) -> str:
    with acting(Acting(), role="worker"):
        assert tables.judge(now=NOON) == 1
        assert tables.judge(now=NOON) == 0
        assert tables.judge(now=NOON + tables.AGAIN + timedelta(minutes=1)) == 1
    return JudgedTable.objects.get(table=table).fault


def test_a_figure_of_enough_members_breaks_nothing(labs: list[Member]) -> None:
    assert judged(told(labs, 90, dict.fromkeys(range(9), 10))) == ""


def test_a_suppressed_figure_breaks_nothing(labs: list[Member]) -> None:
    assert judged(told(labs, None, {})) == ""


def test_a_figure_that_one_member_dominates_is_an_alarm(labs: list[Member]) -> None:
    sizes = {**dict.fromkeys(range(9), 10), 0: 920}
    assert "share" in judged(told(labs, 1000, sizes))


def test_a_figure_of_too_few_is_an_alarm(labs: list[Member]) -> None:
    assert "contributors" in judged(told(labs, 30, dict.fromkeys(range(3), 10)))


def test_a_figure_that_is_not_what_it_is_made_of_is_an_alarm(labs: list[Member]) -> None:
    assert judged(told(labs, 80, dict.fromkeys(range(9), 10))) == tables.FAULTS["figure"]


def test_cells_that_were_changed_since_are_an_alarm(labs: list[Member]) -> None:
    made = told(labs, None, {})
    StatisticsCell.objects.create(table=made, row="indicator", figure=7)
    assert judged(made) == tables.FAULTS["digest"]
