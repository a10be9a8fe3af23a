"""House rules that no tool checks. Each has a bad example that it must catch."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
from django.apps import apps

from exchange.ledger import covered

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("members", "indicators", "exchange")
CORE = ("exchange.policy", "exchange.proof", "indicators.stix", "indicators.converters")
NOT_IN_CORE = ("django", "rest_framework", "celery", "redis", "psycopg")

SETTING = re.compile(r"\b(?:text|flag|number|secret)\(\s*\"([A-Z_]+)\"")
LISTED = re.compile(r"^#?([A-Z][A-Z_]+)=", re.MULTILINE)
UNSAFE = {
    "|safe": re.compile(r"\|\s*safe(seq)?\b|\{%\s*autoescape\s+off"),
    "inline script": re.compile(r"<script(?![^>]*\bsrc=)[^>]*>", re.IGNORECASE),
    "inline style": re.compile(r"<style\b|\sstyle\s*=", re.IGNORECASE),
    "inline handler": re.compile(r"<[^>]*\son[a-z]+\s*=|javascript:", re.IGNORECASE),
}


def without_floor(modules: Iterable[str], layers: Iterable[str]) -> list[str]:
    """The modules that stand on no floor."""
    floors = {floor.strip() for layer in layers for floor in re.split(r"[|:]", layer)}
    return sorted(
        module
        for module in modules
        if not any(module == floor or module.startswith(f"{floor}.") for floor in floors)
    )


def modules_here() -> list[str]:
    """Every module of the three packages; a package's own empty __init__ is none."""
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    return [
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in files
        if file.name != "__init__.py" and "migrations" not in file.parts
    ]


def layers() -> list[str]:
    """The floors, as the import rule has them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (floors,) = (item["layers"] for item in contracts["contracts"] if item["id"] == "floors")
    return list(floors)


def test_every_module_has_its_floor() -> None:
    assert without_floor(modules_here(), layers()) == []


@pytest.mark.parametrize("module", ["exchange.utils", "members.common", "exchange.policyx"])
def test_a_module_without_floor_is_seen(module: str) -> None:
    assert without_floor([module, "exchange.policy.decide"], layers()) == [module]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_packages_load_nothing_by_themselves(package: str) -> None:
    assert (ROOT / package / "__init__.py").read_text().strip() == ""


def loaded_with(modules: Iterable[str]) -> set[str]:
    """Top-level packages that a fresh interpreter holds after importing these."""
    code = (
        f"import sys, {', '.join(modules)}; print(*{{name.split('.')[0] for name in sys.modules}})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_core_loads_without_django() -> None:
    core = [module for module in modules_here() if module.startswith(CORE)]
    core = [module for module in core if not module.endswith("__main__")]
    assert core
    assert loaded_with(core).isdisjoint(NOT_IN_CORE)


def test_what_loads_django_is_seen() -> None:
    assert "django" in loaded_with(["exchange.telemetry"])


def unlisted(settings: str, example: str) -> set[str]:
    """Settings that are read and not listed, or listed and not read."""
    return set(SETTING.findall(settings)) ^ set(LISTED.findall(example))


def test_every_setting_is_in_the_example_and_back() -> None:
    settings = (ROOT / "exchange" / "settings.py").read_text()
    assert unlisted(settings, (ROOT / "deploy" / "env.example").read_text()) == set()


@pytest.mark.parametrize(
    ("settings", "example"),
    [('text("HIDDEN")', ""), ("", "#FORGOTTEN=1"), ('number(\n    "HIDDEN", default=1)', "")],
)
def test_a_setting_on_one_side_only_is_seen(settings: str, example: str) -> None:
    assert unlisted(settings, example)


def test_only_the_settings_read_the_environment() -> None:
    allowed = {"exchange/settings.py", "exchange/signers.py", "exchange/hsm.py"}
    allowed |= {"exchange/celery.py", "exchange/wsgi.py"}
    # Members run these: a credential is no argument.
    allowed |= {"exchange/proof/tokenise.py", "exchange/proof/remote.py"}
    readers = {
        file.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for file in (ROOT / package).rglob("*.py")
        if re.search(r"\bos\.(environ|getenv)\b", file.read_text())
    }
    assert {name for name in readers - allowed if "/management/" not in name} == set()


def faults(template: str) -> list[str]:
    """The rules that a template breaks."""
    return [name for name, pattern in UNSAFE.items() if pattern.search(template)]


def test_no_template_has_safe_inline_script_or_style() -> None:
    templates = [
        file
        for package in PACKAGES
        for kind in ("*.html", "*.svg")
        for file in (ROOT / package).rglob(kind)
    ]
    found = {file.relative_to(ROOT).as_posix(): faults(file.read_text()) for file in templates}
    assert {name: broken for name, broken in found.items() if broken} == {}


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("{{ name|safe }}", "|safe"),
        ("{{ names | safeseq }}", "|safe"),
        ("{% autoescape off %}", "|safe"),
        ("<script>go()</script>", "inline script"),
        ("<script\ntype=module>go()</script>", "inline script"),
        ("<style>b {}</style>", "inline style"),
        ('<b style="color: red">', "inline style"),
        ('<b class="x" onclick="go()">', "inline handler"),
        ('<a href="javascript:go()">', "inline handler"),
    ],
)
def test_an_unsafe_template_is_seen(template: str, fault: str) -> None:
    assert fault in faults(template)


def test_a_safe_template_passes() -> None:
    assert faults('<script src="{% static "weir.js" %}" defer></script> on=1 <b class="a">') == []


def commands_of(readme: str) -> set[str]:
    """The commands of manage.py that a text shows."""
    return set(re.findall(r"python3 manage\.py (\w+)", readme))


def test_the_readme_shows_both_commands_and_they_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    first_screen = "\n".join(readme.splitlines()[:30])
    assert {"demo", "test"} <= commands_of(first_screen)
    folder = ROOT / "exchange" / "management" / "commands"
    own = {file.stem for file in folder.glob("*.py")}
    django = {"migrate", "check", "shell", "makemigrations", "help"}
    assert commands_of(readme) <= own | django


def test_a_command_is_found_in_a_text() -> None:
    assert commands_of("    python3 manage.py gone --now") == {"gone"}


def without_reason(tables: Iterable[str]) -> list[str]:
    """The tables of which nobody has said whether the ledger fixes their past."""
    return sorted(set(tables) - covered.UNDER.keys() - covered.OUTSIDE.keys())


def test_every_table_lies_under_the_ledger_or_says_why_not() -> None:
    ours = [apps.get_app_config(package) for package in PACKAGES]
    tables = {model._meta.db_table for app in ours for model in app.get_models()}
    assert without_reason(tables) == []  # add yours to exchange/ledger/covered.py
    assert (covered.UNDER.keys() | covered.OUTSIDE.keys()) - tables == set()
    assert covered.UNDER.keys() & covered.OUTSIDE.keys() == set()
    assert all(why.strip() for why in (*covered.UNDER.values(), *covered.OUTSIDE.values()))


def test_a_table_without_a_reason_is_seen() -> None:
    assert without_reason(["ledger_entry", "exchange_gossip"]) == ["exchange_gossip"]
