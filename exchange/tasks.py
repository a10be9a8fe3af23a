"""Celery's entry points: arguments are ids, PostgreSQL is the truth, a message is a hint."""

from uuid import UUID

from django.utils import timezone

from exchange import (
    again,
    archive,
    backfill,
    contribute,
    delivery,
    erasure,
    files,
    folds,
    keyring,
    ledger,
    lookback,
    mail,
    persons,
    policies,
    pool,
    recall,
    release,
    reminders,
    replay,
    retention,
    revocation,
    runs,
    statistics,
    tables,
)
from exchange.celery import app, nudge
from exchange.questions import exports


@app.task(name="exchange.tasks.accept")
def accept(contribution_id: str) -> None:
    """Take one contribution in, and release what of it waits for no window."""
    contribute.take_in(UUID(contribution_id), now=timezone.now())


@app.task(name="exchange.tasks.accept_waiting")
def accept_waiting() -> None:
    """Take in what a lost message left waiting."""
    contribute.take_in_each(contribute.waiting(), now=timezone.now())


# A slice or a part of a file is some seconds; a part of 20,000 objects is the most there is.
@app.task(name="exchange.tasks.take_file", soft_time_limit=280, time_limit=300)
def take_file(file_id: str) -> None:
    """Do one piece of the work on a file, and queue up again behind what else is due."""
    if files.work(UUID(file_id), now=timezone.now()):
        nudge("exchange.tasks.take_file", file_id, queue="render")


@app.task(name="exchange.tasks.take_files")
def take_files() -> None:
    """Take up the files whose hint was lost, or whose worker."""
    for file_id in files.standing_still(now=timezone.now()):
        nudge("exchange.tasks.take_file", str(file_id), queue="render")


@app.task(name="exchange.tasks.clear_files")
def clear_files() -> None:
    """Delete files that were never sent or never taken."""
    files.sweep(now=timezone.now())


@app.task(name="exchange.tasks.release")
def release_one(contribution_id: str) -> None:
    """Release what is due of one contribution."""
    release.release_contribution(UUID(contribution_id), now=timezone.now())


@app.task(name="exchange.tasks.start_policies")
def start_policies() -> None:
    """Put in force what was approved for a time that has come."""
    policies.start_due()


@app.task(name="exchange.tasks.open_windows")
def open_windows() -> None:
    """Release what is due."""
    release.open_windows(now=timezone.now(), before_each=ledger.Pace().wait)


@app.task(name="exchange.tasks.tell_recalls")
def tell_recalls() -> None:
    """Tell of recalls at once, and give anew what their recipients lost with them."""
    recall.tell_waiting(now=timezone.now())


@app.task(name="exchange.tasks.follow_recalls")
def follow_recalls() -> None:
    """Take down who has acknowledged a recall, and remind whom it is time to remind."""
    reminders.work(now=timezone.now())


@app.task(name="exchange.tasks.send_mails")
def send_mails() -> None:
    """Send the mails that wait."""
    mail.send_due(now=timezone.now())


@app.task(name="exchange.tasks.retention", soft_time_limit=280, time_limit=300)
def age_out() -> None:
    """One round of every clock of retention."""
    retention.work(now=timezone.now())


@app.task(name="exchange.tasks.erasures")
def erasures() -> None:
    """Record what is to be erased, and empty what is recorded under a checkpoint."""
    erasure.work(now=timezone.now())


@app.task(name="exchange.tasks.persons", soft_time_limit=280, time_limit=300)
def person_requests() -> None:
    """Search what a person asked for, and do what counsel approved."""
    persons.work(now=timezone.now())


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


# A part is a second or two; one contribution of 20,000 objects is a part of its own.
@app.task(name="exchange.tasks.preview", soft_time_limit=280, time_limit=300)
def preview(preview_id: str) -> None:
    """Decide one part of a preview, and queue up again behind what else is due."""
    if replay.work(UUID(preview_id), now=timezone.now()):
        nudge("exchange.tasks.preview", preview_id, queue="render")


@app.task(name="exchange.tasks.previews")
def previews() -> None:
    """Take up the previews whose hint was lost, or whose worker."""
    for preview_id in replay.standing_still(now=timezone.now()):
        nudge("exchange.tasks.preview", str(preview_id), queue="render")


# Ten thousand openings with their proofs are some seconds; the bundles of a part are more.
@app.task(name="exchange.tasks.make_archive", soft_time_limit=580, time_limit=600)
def make_archive(archive_id: str) -> None:
    """Make one archive that was ordered."""
    archive.make(UUID(archive_id), signer=keyring.signer("bundle"), now=timezone.now())


@app.task(name="exchange.tasks.archives")
def archives() -> None:
    """Take up archives whose hint was lost or whose signer was away; end those that are over."""
    archive.end_due(now=timezone.now())
    for archive_id in archive.waiting():
        nudge("exchange.tasks.make_archive", str(archive_id), queue="render")


# A step is a page of rows, or one archive with its evidence.
@app.task(name="exchange.tasks.answer", soft_time_limit=580, time_limit=600)
def answer(export_id: str) -> None:
    """Write down one step of an answer, and queue up again behind what else is due."""
    if exports.work(UUID(export_id), signer=keyring.signer("bundle"), now=timezone.now()):
        nudge("exchange.tasks.answer", export_id, queue="render")


@app.task(name="exchange.tasks.answers")
def answers() -> None:
    """Take up the exports whose hint was lost, or whose worker; end those that are over."""
    exports.end_due(now=timezone.now())
    for export_id in exports.standing_still(now=timezone.now()):
        nudge("exchange.tasks.answer", str(export_id), queue="render")


@app.task(name="exchange.tasks.look_back")
def look_back() -> None:
    """Decide again what was released, and judge again what was told in tables."""
    lookback.work(now=timezone.now())
    tables.judge(now=timezone.now())


@app.task(name="exchange.tasks.let_go")
def let_go() -> None:
    """What newcomers are let have, and what is released again under a loosened policy."""
    backfill.work(now=timezone.now())
    again.work(now=timezone.now())


@app.task(name="exchange.tasks.show_extracts", soft_time_limit=280, time_limit=300)
def show_extracts() -> None:
    """Put in words what members ask to see of their own extracts; drop what was shown."""
    pool.make(now=timezone.now())
    pool.clear(now=timezone.now())


# A run is some seconds; what it forks has its own bounds, and the child ends before the task.
@app.task(name="exchange.tasks.run_pool", soft_time_limit=580, time_limit=600)
def run_pool() -> None:
    """Run the active algorithms over the pool, if anything is new."""
    runs.work(now=timezone.now())


@app.task(name="exchange.tasks.calendar")
def calendar() -> None:
    """What the calendar brings: revocations and statements at midnight UTC, receipts each hour,
    and the tables of a quarter once it is old enough.

    Asked every minute, for each of them catches up: a hint that was lost costs a minute.
    """
    revocation.revoke_due(now=timezone.now())
    folds.publish_day(now=timezone.now())
    ledger.receive_hour(now=timezone.now())
    ledger.state_day(now=timezone.now())
    statistics.make_due(now=timezone.now())
