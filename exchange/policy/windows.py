"""The moments at which things leave: nominal times, computed and never read from a clock."""

from datetime import UTC, datetime, timedelta

from exchange.policy.terms import Floor

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def opening(floor: Floor, sensitivity: str, *, after: datetime, delay_seconds: int = 0) -> datetime:
    """The nominal time of the window in which something accepted at `after` leaves."""
    ready = after.astimezone(UTC) + timedelta(seconds=max(0, delay_seconds))
    seconds = floor.window_seconds(sensitivity)
    if seconds == 0:
        return ready.replace(microsecond=0)
    return _next_multiple(ready, seconds)


def next_revocation(after: datetime) -> datetime:
    """The daily moment, 00:00 UTC, at which ordinary revocations leave next."""
    return _next_multiple(after.astimezone(UTC), 86_400)


def _next_multiple(moment: datetime, seconds: int) -> datetime:
    # What is ready exactly at a window's time leaves in it: the window is the first not before it.
    step = timedelta(seconds=seconds)
    passed = moment - EPOCH
    whole = -(-passed // step)
    return EPOCH + whole * step
