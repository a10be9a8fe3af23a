"""The log's name, and the names that it had before."""

from urllib.parse import urlsplit

from django.conf import settings


def origin() -> str:
    """The log's name; a log that was opened anew after a loss has a number behind it."""
    return _named(settings.LEDGER_NUMBER)


def origins() -> tuple[str, ...]:
    """All names under which the tree was ever signed, today's first."""
    return tuple(_named(number) for number in range(settings.LEDGER_NUMBER, 0, -1))


def _named(number: int) -> str:
    name = f"{urlsplit(settings.WEIR_BASE_URL).netloc}/ledger"
    return name if number == 1 else f"{name}/{number}"
