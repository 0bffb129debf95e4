"""The console in a real Chromium, on real servers."""

from __future__ import annotations

import logging
import os
import pathlib
import shutil
from collections.abc import Iterator

import pytest
from playwright import sync_api

from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests.browser.stage import Stage
from tests.patience import PATIENCE
from tests.road import Road

log = logging.getLogger(__name__)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="package")
def chromium() -> Iterator[sync_api.Browser]:
    """One browser for all these tests, and no longer: while it is there an event loop runs in this process."""
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no chromium: deploy/install-packages installs it")
        pytest.skip("no chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, timeout=60_000 * PATIENCE)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def road(
    postgres: PostgresServer, rabbitmq: RabbitNode, ledger_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Road]:
    """A ledger, a broker, a web process and a worker."""
    name = f"console_{os.getpid()}"
    postgres.execute(f"create database {name} template {ledger_template}")
    folder: pathlib.Path = tmp_path_factory.mktemp("console")
    secret = "0123456789abcdef" * 4
    found = Road(
        postgres.dsn_of(name), rabbitmq.add_vhost(name), folder, apps="tests.apps.shop_app", access_secret=secret
    )
    try:
        found.declare()
        yield found
    finally:
        log.warning(found.logs())  # Shown when a test fails.
        found.stop()
        postgres.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="package")
def stage(road: Road, chromium: sync_api.Browser) -> Iterator[Stage]:
    """The console on that road, with something on every page."""
    door = road.web()
    road.worker("solo", queues="events,periodic")
    found = Stage(chromium, road, door)
    found.fill()
    yield found
    found.close()


@pytest.fixture
def page(stage: Stage) -> Iterator[sync_api.Page]:
    """A page of a viewer in Berlin, whose scripts must make no mistake."""
    with stage.page() as found:
        yield found
