"""The test command: format, lint, imports, types, migrations, deploy check, then pytest once."""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path

from django.core.management.base import BaseCommand

from exchange.management import environment, services
from exchange.management.processes import ROOT

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BIN = Path(sys.executable).parent
CHECKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("format", (str(BIN / "ruff"), "format", "--check", "--quiet", ".")),
    ("lint", (str(BIN / "ruff"), "check", "--quiet", ".")),
    ("imports", (str(BIN / "lint-imports"),)),
    ("types", (str(BIN / "mypy"), ".")),
    ("migrations", (sys.executable, "-W", "ignore", "manage.py", "makemigrations", "--check")),
    ("deploy", (sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING")),
)


class Command(BaseCommand):
    """`manage.py test [pytest's arguments]`: with arguments only pytest runs."""

    help = "Run every check and all tests; with arguments, pytest with these."
    requires_system_checks = ()

    def run_from_argv(self, argv: list[str]) -> None:
        """Take what follows as it is: it belongs to pytest, `--help` too."""
        sys.exit(self.run(argv[2:]))

    def add_arguments(self, parser: ArgumentParser) -> None:
        """All arguments are pytest's."""
        parser.add_argument("arguments", nargs="*")

    def handle(self, *args: str, **options: object) -> None:
        """The same through `call_command`."""
        sys.exit(self.run(list(args)))

    def run(self, arguments: list[str]) -> int:
        """Run what was asked; 0 only when all passed. A failed check does not hide the next."""
        failed = [] if arguments else [name for name, argv in CHECKS if not self.passes(name, argv)]
        has_browser = any(shutil.which(name) for name in BROWSERS)
        if not has_browser:
            self.say("browser    no chromium here: the browser tests are skipped (CI: failed)")
            failed += ["browser"] if os.environ.get("CI") == "true" else []
        if failed:
            self.say(f"failed     {', '.join(failed)} (pytest runs all the same)")
        # Without the settings' name: tests/conftest.py makes the environment before they are read.
        env = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
        tests = subprocess.run(  # noqa: S603 - our own interpreter, no shell
            [sys.executable, "-m", "pytest", *arguments], cwd=ROOT, env=env, check=False
        )
        return tests.returncode or bool(failed)

    def passes(self, name: str, argv: tuple[str, ...]) -> bool:
        """Run one check; print its time, and its output when it fails."""
        start = time.monotonic()
        done = subprocess.run(  # noqa: S603 - the checks above, no shell
            argv, cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False
        )
        verdict = "ok" if done.returncode == 0 else "FAILED"
        self.say(f"{name:<10} {verdict:<6} {time.monotonic() - start:5.1f} s")
        if done.returncode:
            self.say((done.stdout + done.stderr).rstrip())
        return done.returncode == 0

    def say(self, line: str) -> None:
        """Print at once: pytest writes to the same place."""
        self.stdout.write(line)
        self.stdout.flush()


def _environment() -> Mapping[str, str]:
    """That of an exchange with TLS and keys of the moment: the checks read it, nothing connects."""
    folder = Path(tempfile.gettempdir()) / "weir-checks"
    made = environment.complete(
        secrets.token_bytes(32),
        base_url="https://exchange.example",
        directory=folder,
        addresses=services.addresses(folder, {}),
    )
    return dict(os.environ) | made
