"""What may be known from outside: log lines of ids, counters, and whether the database answers.

A log line holds no content: an exception is logged by its type and place, never by its text or its
locals, for a database error quotes the row that it refused.
"""

import logging
import sys
import threading
import traceback
from collections import Counter
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any

import structlog
from django.db import connection
from django.db.utils import Error as DatabaseError
from django.http import HttpRequest, HttpResponse

ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]
EventDict = MutableMapping[str, Any]

_counts: Counter[str] = Counter()
_lock = threading.Lock()


def count(name: str, by: int = 1) -> None:
    """Add to a counter of this process. Names are fixed words, never ids."""
    with _lock:
        _counts[name] += by


def counters() -> dict[str, int]:
    """The counters of this process."""
    with _lock:
        return dict(_counts)


def alive(request: HttpRequest) -> HttpResponse:
    """Answer the load balancer: 200 when the database answers, else 503; nothing else is told."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return HttpResponse("no database\n", status=503, content_type="text/plain")
    return HttpResponse("ok\n", content_type="text/plain")


def without_contents(logger: Any, name: str, event: EventDict) -> EventDict:  # noqa: ANN401 - structlog's signature
    """Replace an exception by its types and places; a Refused adds its stable code."""
    found = event.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()
    error = found[1] if isinstance(found, tuple) else found
    if isinstance(error, BaseException):
        event["error"] = _types(error)
        event["at"] = [
            f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)[-8:]
        ]
        code = getattr(error, "code", None)
        if isinstance(code, str):
            event["code"] = code
    event.pop("stack_info", None)
    return event


def _types(error: BaseException) -> str:
    names: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(names) < 5:
        names.append(type(seen).__qualname__)
        seen = seen.__cause__ or seen.__context__
    return " < ".join(names)


def foreign(logger: Any, name: str, event: EventDict) -> EventDict:  # noqa: ANN401 - structlog's signature
    """Name the library's logger; a line with an exception's text in it is taken back."""
    record = event.get("_record")
    if not isinstance(record, logging.LogRecord) or event.get("_from_structlog"):
        return event
    event["logger"] = record.name
    if event.get("exc_info") and not record.name.startswith("django."):
        event["event"] = str(record.msg)  # the template, without its arguments
        task = getattr(record, "data", None)
        if isinstance(task, dict):
            event.update(task=task.get("name"), task_id=task.get("id"))
    return event


SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def formatter() -> logging.Formatter:
    """One JSON object a line, for our own events and for those of the libraries."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=SHARED,
        processors=[
            foreign,
            without_contents,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(default=lambda value: type(value).__name__),
        ],
    )
