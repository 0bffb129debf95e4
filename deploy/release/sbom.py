"""The software bill of materials, in CycloneDX 1.6: what runs, of which version, from archives with which hashes.

https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable

import packageurl
from cyclonedx import model
from cyclonedx.model import bom, component, license
from cyclonedx.output.json import JsonV1Dot6

from deploy.release import dependencies, licences
from deploy.release.dependencies import Asset, Package

PROJECT = "millrace"


def document(packages: Iterable[Package], epoch: int) -> str:
    """The bill as JSON. The same packages and time make the same text."""
    found = {package.name: package for package in packages}
    parts = {name: _package(package) for name, package in found.items()}
    root = component.Component(
        name=PROJECT,
        version=dependencies.setup()["metadata"]["version"],
        type=component.ComponentType.APPLICATION,
        bom_ref=PROJECT,
        description=dependencies.setup()["metadata"]["description"],
    )
    bill = bom.Bom(components=[*parts.values(), *map(_asset, dependencies.ASSETS)])
    bill.metadata.component = root
    bill.metadata.timestamp = datetime.datetime.fromtimestamp(epoch, datetime.UTC)
    for asker, asking in {PROJECT: root, **parts}.items():
        wanted = [parts[name] for name, package in found.items() if asker in package.asked_by]
        bill.register_dependency(asking, wanted)
    # A number of its own, which does not depend on when or where it was made.
    versions = "\n".join(f"{c.purl}" for c in sorted(bill.components, key=lambda c: str(c.purl)))
    bill.serial_number = uuid.uuid5(uuid.NAMESPACE_OID, f"{PROJECT} {root.version} {epoch}\n{versions}")
    text: str = JsonV1Dot6(bill).output_as_string(indent=2)
    return f"{text}\n"


def _package(package: Package) -> component.Component:
    purl = packageurl.PackageURL("pypi", name=package.name, version=package.version)
    archives = model.ExternalReference(
        type=model.ExternalReferenceType.DISTRIBUTION,
        url=model.XsUri(str(purl)),
        comment="its archives, as locked",
        hashes=[model.HashType(alg=model.HashAlgorithm.SHA_256, content=content) for content in package.hashes],
    )
    return component.Component(
        name=package.name,
        version=package.version,
        type=component.ComponentType.LIBRARY,
        scope=component.ComponentScope.OPTIONAL if package.optional else component.ComponentScope.REQUIRED,
        purl=purl,
        bom_ref=str(purl),
        licenses=[_licence(licences.of(package.name))],
        external_references=[archives],
    )


def _asset(asset: Asset) -> component.Component:
    purl = packageurl.PackageURL("npm", name=asset.name, version=asset.version)
    return component.Component(
        name=asset.name,
        version=asset.version,
        type=component.ComponentType.LIBRARY,
        purl=purl,
        bom_ref=str(purl),
        licenses=[_licence(asset.licence)],
        description=f"in the wheel, for browsers: {', '.join(asset.files)}",
    )


def _licence(expression: str) -> license.License:
    if " " in expression:
        return license.LicenseExpression(expression)
    return license.DisjunctiveLicense(id=expression)
