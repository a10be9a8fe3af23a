"""Celery's entry points: arguments are ids, PostgreSQL is the truth, a message is a hint."""

from uuid import UUID

from django.utils import timezone

from exchange import contribute, delivery, ledger, release, revocation, statistics
from exchange.celery import app


@app.task(name="exchange.tasks.accept")
def accept(contribution_id: str) -> None:
    """Take one contribution in."""
    contribute.accept(UUID(contribution_id), now=timezone.now())


@app.task(name="exchange.tasks.accept_waiting")
def accept_waiting() -> None:
    """Take in what a lost message left waiting."""
    for contribution_id in contribute.waiting():
        contribute.accept(contribution_id, now=timezone.now())


@app.task(name="exchange.tasks.open_windows")
def open_windows() -> None:
    """Release what is due."""
    release.open_windows(now=timezone.now())


@app.task(name="exchange.tasks.seal_waiting")
def seal_waiting() -> None:
    """Seal the bundles of what was published, and send word to their subscriptions."""
    delivery.make_ready(now=timezone.now())


@app.task(name="exchange.tasks.sweep")
def sweep() -> None:
    """Find deliveries whose hint was lost, and leases that ran out."""
    delivery.make_ready(now=timezone.now())
    delivery.sweep(now=timezone.now())


@app.task(name="exchange.tasks.drain")
def drain(subscription_id: str) -> None:
    """Send what one subscription waits for."""
    delivery.drain(UUID(subscription_id))


@app.task(name="exchange.tasks.calendar")
def calendar() -> None:
    """What the calendar brings: revocations and statements at midnight UTC, receipts each hour,
    and the tables of a quarter once it is old enough.

    Asked every minute, for each of them catches up: a hint that was lost costs a minute.
    """
    revocation.revoke_due(now=timezone.now())
    ledger.receive_hour(now=timezone.now())
    ledger.state_day(now=timezone.now())
    statistics.make_due(now=timezone.now())
