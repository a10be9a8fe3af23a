"""Keep whoever releases much from filling the ledger's queue, where all stand in one order."""

import time

from exchange.models import LedgerIntake

MOST = 800  # parts that wait: a moment's work of the sequencer
_PAUSE = 0.02
_PATIENCE = 1.0  # seconds without any progress: the sequencer is away, and waiting is no use


class Pace:
    """For one long piece of work: what leaves at once meanwhile stands behind little of it."""

    def __init__(self) -> None:
        self.is_away = False

    def wait(self) -> None:
        """Until the queue is short, as long as it is being emptied."""
        first, since = None, time.monotonic()
        while not self.is_away and (waiting := _waiting()) and len(waiting) > MOST:
            if waiting[0] != first:
                first, since = waiting[0], time.monotonic()
            self.is_away = time.monotonic() - since > _PATIENCE
            time.sleep(_PAUSE)


def _waiting() -> list[int]:
    return list(LedgerIntake.objects.order_by("id").values_list("id", flat=True)[: MOST + 1])
