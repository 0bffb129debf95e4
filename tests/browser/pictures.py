"""Take the pictures in ``docs/console``: every page of the console, over a real run of a parcel service.

    python -m tests.browser.pictures --minutes 8

The servers are private, the browser is a real Chromium. Pictures are cut at a height, so that they stay small.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

from playwright import sync_api

from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests import servers
from tests.browser.stage import NARROW, Stage
from tests.road import Road
from tests.threads import beside

ROOT = pathlib.Path(__file__).parents[2]
PLACE = ROOT / "docs/console"
WIDTH, TALLEST = 1120, 820  #: pixels
LARGEST = 160 * 1024  #: bytes of a picture
TRAFFIC = {
    "parcels.scanned": 14.0,
    "customers.notified": 2.0,
    "invoices.issued": 2.0,
    "labels.requested": 0.4,
}  #: per s
PHONE, DARK = {"viewport": NARROW}, {"color_scheme": "dark"}

#: File → the page's path, and how it is looked at.
PICTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "overview": ("/console", {}),
    "overview-dark": ("/console", DARK),
    "overview-phone": ("/console", PHONE),
    "events": ("/console/events", {}),
    "events-phone": ("/console/events", PHONE | DARK),
    "event": ("/console/events/{dead}", {}),
    "event-waiting": ("/console/events/{paused}", {}),
    "dead": ("/console/dead", {}),
    "replay": ("/console/dead?type=labels.requested", {}),
    "discard": ("/console/dead?type=customers.notified&reason=attempts", {}),
    "schedules": ("/console/schedules", {}),
    "schedule": ("/console/schedules/nightly-settlement", {}),
    "schedule-new": ("/console/schedules/new", {}),
    "types": ("/console/types", {}),
    "workers": ("/console/workers", {}),
    "send": ("/console/send?type=customers.notified", {}),
    "keys": ("/console/keys", {}),
    "users": ("/console/users", {}),
    "user": ("/console/users/grace", {}),
    "audit": ("/console/audit", {}),
    "first-run": ("/console", {}),
}

#: Pictures of a dialog → the words that open it.
DIALOGS = {"replay": "Replay all of them…", "discard": "Discard all of them…"}


@contextlib.contextmanager
def parcel_service(folder: pathlib.Path) -> Iterator[tuple[Road, Any]]:
    """Servers and processes, from beginning to end; before anything is sent."""
    with contextlib.ExitStack() as stack:
        ledger = PostgresServer(folder / "postgres", options=servers.FAST).start()
        stack.callback(ledger.stop)
        broker = RabbitNode(folder / "rabbitmq").start()
        stack.callback(broker.stop)
        more = {"apps": "tests.apps.parcel_app", "access_secret": uuid.uuid4().hex * 2}
        road = Road(ledger.dsn, broker.url, folder, soft_limit="600", hard_limit="900", **more)
        stack.callback(road.stop)
        assert road.run("migrate", "service", "migrate").wait_for_end(60) == 0
        road.declare()
        door = road.web()
        road.clock()
        yield road, door


def traffic(stage: Stage) -> contextlib.AbstractContextManager[None]:
    """Post steadily while the block lasts."""
    dice = random.Random(7)

    def produce(type_name: str, rate: float, over: threading.Event) -> None:
        number = 88_000
        while not over.wait(dice.expovariate(rate * (1 + 0.5 * (int(time.time()) % 120 < 40)))):
            number += 1
            stage.send(type_name, **payload(type_name, number, dice))

    return beside(functools.partial(produce, *one) for one in TRAFFIC.items())


def payload(type_name: str, number: int, dice: random.Random) -> dict[str, Any]:
    """What an event of the service says."""
    if type_name == "customers.notified":
        return {"order_id": number, "phone": f"+49 170 {number}", "template": "shipped"}
    if type_name == "labels.requested":
        return {"parcel": f"BW-{number}"} | ({"weight_g": 420} if dice.random() < 0.6 else {})
    return {"parcel": f"BW-{number}", "depot": "Hannover"}


def happen(stage: Stage) -> None:
    """What an operator finds in the morning."""
    stage.who = "ada"
    stage.api("POST", "/v1/types/addresses.geocoded/pause?because=the+map+service+answers+with+old+streets")
    for number in range(12):
        stage.paused = stage.send("addresses.geocoded", street=f"Kastanienallee {number + 1}", city="Berlin")
    stage.send("reports.compiled", report="carrier performance")
    stage.send("parcels.scanned", "?delay=7200", parcel="BW-4471")
    plan = {"cron": "*/20 8-18 * * MON-FRI", "tz": "Europe/Berlin"}
    document = {"name": "carrier-rates", "type": "invoices.issued", "plan": plan, "payload": {"carrier": "Nordfracht"}}
    stage.api("POST", "/v1/schedules", document)
    stage.api("POST", "/v1/schedules/nightly-settlement/run")
    stage.api("POST", "/v1/schedules/address-check/pause")
    for name, role, types in (("shop-frontend", "producer", ["parcels.*"]), ("carrier-sync", "operator", [])):
        stage.api("POST", "/v1/keys", {"name": name, "role": role, "types": types})
    for name, role in (("ada", "operator"), ("grace", "admin"), ("linus", "viewer")):
        stage.api("POST", "/v1/users", {"name": name, "role": role, "password": uuid.uuid4().hex})
    stage.api("POST", "/v1/users/linus/disable?because=on+leave")
    stage.who = "shop-frontend"


def shoot(stage: Stage, name: str, path: str, options: dict[str, Any]) -> None:
    """One picture."""
    options = {"viewport": {"width": WIDTH, "height": 800}} | options
    with stage.page(**options) as page:
        page.set_default_timeout(60_000)
        page.goto(path)
        page.wait_for_timeout(2_600)  # Until it is alive.
        if name in DIALOGS:
            page.click(f"text={DIALOGS[name]}")
            page.wait_for_selector("#dialog [data-confirm]")
        tall = page.evaluate("document.documentElement.scrollHeight") if name not in DIALOGS else 800
        page.set_viewport_size({"width": options["viewport"]["width"], "height": min(int(tall), TALLEST)})
        page.wait_for_timeout(300)
        picture = PLACE / f"{name}.png"
        page.screenshot(path=picture)
        size = picture.stat().st_size
        sys.stdout.write(f"{picture.relative_to(ROOT)}: {size // 1024} KiB{' (too large)' if size > LARGEST else ''}\n")


def take(minutes: float) -> None:
    """Let the service run, and take all pictures."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        sys.exit("millrace: the pictures need chromium, please install it")
    PLACE.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="millrace-console-") as folder,
        parcel_service(pathlib.Path(folder)) as (road, door),
        sync_api.sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=program)
        stage = Stage(browser, road, door)
        shoot(stage, "first-run", *PICTURES["first-run"])
        for number in range(2):
            road.worker("prefork", concurrency=2 + number, queues="events,periodic,reports")
        with traffic(stage):
            happen(stage)
            time.sleep(minutes * 60)
            letters = stage.api("GET", "/v1/dead?type=customers.notified&limit=1")["dead"]
            places = {"dead": letters[0]["id"], "paused": stage.paused}
            for name, (path, options) in PICTURES.items():
                if name != "first-run":
                    shoot(stage, name, path.format(**places), options)
        stage.close()
        browser.close()


def main() -> None:
    """The command."""
    words = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    words.add_argument("--minutes", type=float, default=8.0, help="how long the service runs before")
    take(words.parse_args().minutes)


if __name__ == "__main__":
    main()
