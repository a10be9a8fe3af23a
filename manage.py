#!/usr/bin/env python3
"""The one command: `demo` and `test` do their own set-up, all others are Django's and ours."""

import os
import sys

from deploy import bootstrap

# These start the services first, or need none, and so run before the settings can be read.
BEFORE_SETTINGS = ("bench", "demo", "test", "tokenise_build", "extractor_build")


def main() -> None:
    """Make sure of the packages, then do what was asked."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange.settings")
    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    bootstrap.ensure("requirements-dev.lock" if command == "test" else "requirements.lock")
    # Only now is Django known to be there, in the version of the lock.
    from django.core.management import execute_from_command_line, load_command_class  # noqa: PLC0415

    if command in BEFORE_SETTINGS:
        load_command_class("exchange", command).run_from_argv(sys.argv)
    else:
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
