"""The Celery application, its clock, and `nudge`: a hint by name that may get lost without harm."""

import os
import sys
from typing import Any

import structlog
from celery import Celery, signals
from django.db import close_old_connections
from kombu import Exchange, Queue
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from exchange import telemetry

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange.settings")

# What takes a moment has a queue and a worker of its own, and never waits for what takes minutes.
QUEUES = ("quick", "render", "deliver", "mail", "pool")
HINT_SECONDS = 30  # an older hint says nothing that the sweep has not found by then

log = structlog.get_logger()
app = Celery("weir")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_queues = [Queue(name, Exchange(name), routing_key=name) for name in QUEUES]
app.conf.task_default_queue = "render"
# Celery would end the connection before and after each task; to begin one costs the database more
# than a small contribution. `keep_connection` sees that it is fit, as in a request.
app.conf.CELERY_DB_REUSE_MAX = sys.maxsize
app.conf.beat_schedule = {
    name: {
        "task": f"exchange.tasks.{name}",
        "schedule": schedule,
        "options": {"queue": queue, "expires": HINT_SECONDS},
    }
    for name, schedule, queue in (
        ("open_windows", 5.0, "render"),
        ("start_policies", 5.0, "render"),
        ("sweep", 5.0, "deliver"),
        ("accept_waiting", 10.0, "render"),
        ("previews", 10.0, "render"),
        ("take_files", 10.0, "render"),
        ("clear_files", 60.0, "render"),
        ("archives", 30.0, "render"),
        ("tell_recalls", 5.0, "render"),
        ("follow_recalls", 60.0, "render"),
        ("send_mails", 60.0, "mail"),
        ("retention", 3600.0, "render"),
        ("erasures", 60.0, "render"),
        ("persons", 60.0, "render"),
        ("calendar", 60.0, "render"),
        ("let_go", 60.0, "render"),
        ("answers", 10.0, "render"),
        ("look_back", 60.0, "render"),
        ("show_extracts", 10.0, "pool"),
        ("run_pool", 60.0, "pool"),
    )
}


@signals.setup_logging.connect
def keep_our_logging(**_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """Where this is connected Celery sets up no logging of its own: the settings' LOGGING stays."""


@signals.task_prerun.connect
@signals.task_postrun.connect
def keep_connection(**_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """Keep the connection to the database from task to task, unless it is old or was broken."""
    close_old_connections()


def nudge(name: str, *args: str | int, queue: str) -> bool:
    """Ask a worker to look at something now; say whether the broker took the hint.

    PostgreSQL is the truth and the sweep finds what is due, so a broker that is away costs delay
    only: it is logged and counted, never raised.
    """
    try:
        app.send_task(
            name, args=args, queue=queue, expires=HINT_SECONDS, ignore_result=True, retry=False
        )
    except (KombuError, RedisError, OSError) as error:
        telemetry.count("nudge.lost")
        log.warning("nudge.lost", task=name, queue=queue, error=type(error).__name__)
        return False
    telemetry.count("nudge.sent")
    return True
