"""Kubernetes' manifests, anew for each test."""

from __future__ import annotations

import pytest

from tests.deploy import manifests


@pytest.fixture(params=manifests.OVERLAYS)
def found(request: pytest.FixtureRequest) -> list[manifests.Manifest]:
    """All manifests of an overlay."""
    return manifests.rendered(request.param)


@pytest.fixture
def production() -> list[manifests.Manifest]:
    """Those of the largest one."""
    return manifests.rendered("production")
