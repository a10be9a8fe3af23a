"""Make `.venv` from a lock and go on inside it. Standard library only: it runs before all else."""

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "weir-locks"
PYTHON = (3, 11)
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)( *;)?")
# The development lock holds all that the other one does.
CONTAINS = {
    "requirements.lock": ("requirements.lock", "requirements-dev.lock"),
    "requirements-dev.lock": ("requirements-dev.lock",),
}


def ensure(lock: str) -> None:
    """Return when this interpreter has what the lock asks for; else go on in one that has."""
    inside = Path(sys.prefix).resolve() == VENV.resolve()
    if is_stamped(lock):
        if inside:
            return
        _go_on_inside()
    if sys.version_info[:2] == PYTHON and has_pins(ROOT / lock):
        return  # an image or an environment of one's own, made from the lock
    install(lock)
    _go_on_inside()


def is_stamped(lock: str) -> bool:
    """Whether `.venv` was made from this lock, or one that holds more, as it stands now."""
    if not (STAMP.exists() and venv_python().exists()):
        return False
    stamps = STAMP.read_text("utf-8").splitlines()
    return any(_stamp(name) in stamps for name in CONTAINS[lock] if (ROOT / name).exists())


def has_pins(lock: Path) -> bool:
    """Whether every package of the lock is here in its version; those for other systems apart."""
    for name, version, condition in pins(lock.read_text("utf-8")):
        if condition:
            continue
        try:
            if importlib.metadata.version(name) != version:
                return False
        except importlib.metadata.PackageNotFoundError:
            return False
    return True


def pins(text: str) -> list[tuple[str, str, bool]]:
    """Name, version, and whether a condition on the system follows, of each package of a lock."""
    found = [PINNED.match(line) for line in text.splitlines()]
    return [(match[1], match[2], bool(match[3])) for match in found if match]


def venv_python() -> Path:
    """The interpreter of `.venv`."""
    return VENV / "bin" / "python"


def install(lock: str) -> None:
    """Make `.venv` where it is missing or of another Python; install the lock by its hashes."""
    interpreter = _interpreter()
    _say(f"weir: installing {lock} into .venv (once)")
    if _version_of(venv_python()) != PYTHON:
        shutil.rmtree(VENV, ignore_errors=True)
        _make_venv(interpreter)
    STAMP.unlink(missing_ok=True)  # an interrupted installation must not look complete
    for command in _installers(interpreter):
        if _run([*command, "--require-hashes", "-r", str(ROOT / lock)]) == 0:
            STAMP.write_text("".join(f"{_stamp(name)}\n" for name in _covered(lock)), "utf-8")
            return
        _say(f"weir: {Path(command[0]).name} did not succeed")
    sys.exit("weir: the packages could not be installed; the reason is above")


def _covered(lock: str) -> list[str]:
    covered = [name for name, holders in CONTAINS.items() if lock in holders]
    return [name for name in covered if (ROOT / name).exists()]


def _stamp(lock: str) -> str:
    return f"{lock} {hashlib.sha256((ROOT / lock).read_bytes()).hexdigest()}"


def _interpreter() -> str:
    if sys.version_info[:2] == PYTHON:
        return sys.executable
    wanted = ".".join(map(str, PYTHON))
    found = shutil.which(f"python{wanted}")
    if found is None:
        sys.exit(f"weir: needs Python {wanted}; this is {sys.version.split()[0]}")
    return found


def _version_of(python: Path) -> tuple[int, ...] | None:
    if not python.exists():
        return None
    code = "import sys; print(*sys.version_info[:2])"
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [str(python), "-c", code], capture_output=True, text=True, check=False
    )
    return tuple(map(int, done.stdout.split())) if done.returncode == 0 else None


def _make_venv(interpreter: str) -> None:
    # Without pip: Debian's python3 has no ensurepip, and the outer pip can install into it.
    if interpreter == sys.executable:
        venv.create(VENV, with_pip=False, symlinks=True)
    elif _run([interpreter, "-m", "venv", "--without-pip", str(VENV)]) != 0:
        sys.exit(f"weir: {interpreter} could not make .venv")


def _installers(interpreter: str) -> list[list[str]]:
    """The commands that may install, best first: uv, the outer pip, a pip made in `.venv`."""
    python = str(venv_python())
    commands = []
    uv = shutil.which("uv")
    if uv is not None:
        commands.append([uv, "pip", "install", "--quiet", "--python", python])
    quiet = ["--quiet", "--disable-pip-version-check"]
    if importlib.util.find_spec("pip") is not None and interpreter == sys.executable:
        commands.append([interpreter, "-m", "pip", "--python", python, "install", *quiet])
    elif _run([python, "-c", "import pip"]) == 0 or _run([python, "-m", "ensurepip"]) == 0:
        commands.append([python, "-m", "pip", "install", *quiet])
    if not commands:
        sys.exit("weir: needs pip (or uv) to install the packages")
    return commands


def _run(command: list[str]) -> int:
    # PYTHONPATH would show pip packages of elsewhere and make it leave them out.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, env=env, check=False).returncode  # noqa: S603 - commands are ours


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()


def _go_on_inside() -> NoReturn:
    sys.stdout.flush()
    os.execv(str(venv_python()), [str(venv_python()), *_arguments()])  # noqa: S606 - our own interpreter


def _arguments() -> list[str]:
    return [str(ROOT / "manage.py"), *sys.argv[1:]]
