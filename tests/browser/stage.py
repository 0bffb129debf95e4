"""The console as a viewer has it: pages, what is wrong with them, and a ledger with something on every page."""

from __future__ import annotations

import contextlib
import http.client
import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from playwright import sync_api

from tests.door import Door
from tests.patience import PATIENCE, wait
from tests.road import Road

AXE = (pathlib.Path(__file__).parent / "vendor/axe.min.js").read_text()
WIDE, NARROW = {"width": 1360, "height": 900}, {"width": 390, "height": 844}
PATIENT = 8_000 * PATIENCE  #: milliseconds for whatever a page waits for
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


class Stage:
    """The console of a running Millrace."""

    def __init__(self, browser: sync_api.Browser, road: Road, door: Door) -> None:
        self._browser = browser
        self.road = road
        self.door = door
        self.url = f"http://{door.address}"
        self.who = "shop-frontend"  #: as which the API is called
        self.good = self.later = self.buried = self.paused = ""  #: ids of events
        self._contexts: dict[str, sync_api.BrowserContext] = {}

    @contextlib.contextmanager
    def page(self, *, strict: bool = True, **options: Any) -> Iterator[sync_api.Page]:
        """A page, in a context that pages of the same kind share; ``strict``: scripts and browser must not complain."""
        key = json.dumps(options, sort_keys=True)
        if key not in self._contexts:
            given = {"viewport": WIDE, "color_scheme": "light", "timezone_id": "Europe/Berlin"} | options
            self._contexts[key] = self._browser.new_context(base_url=self.url, **given)
        page = self._contexts[key].new_page()
        page.set_default_timeout(PATIENT)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        # That a page is not there, or that a form was refused, the browser notes too; the tests look at those. And a
        # page asks again where the ledger took too long, as on a busy machine.
        known = re.compile("status of (4|503)")
        page.on(
            "console",
            lambda said: complaints.append(said.text) if said.type == "error" and not known.search(said.text) else None,
        )
        try:
            yield page
            assert not strict or not complaints, complaints
        finally:
            page.close()

    def close(self) -> None:
        """Close what was opened."""
        for context in self._contexts.values():
            context.close()

    def api(self, method: str, path: str, document: Any = None) -> Any:
        """One request to the API; its document."""
        connection = http.client.HTTPConnection(self.door.address, timeout=30 * PATIENCE)
        headers = {"Content-Type": "application/json", "X-Producer": self.who}
        connection.request(method, path, None if document is None else json.dumps(document), headers)
        answer = connection.getresponse()
        found = json.loads(answer.read() or "null")
        connection.close()
        assert answer.status < 300, found
        return found

    def send(self, type_name: str, query: str = "", **payload: Any) -> str:
        """An event; its id."""
        return str(self.api("POST", f"/v1/events/{type_name}{query}", payload)["id"])

    def event(self, event_id: str) -> Any:
        """An event as the API shows it."""
        return self.api("GET", f"/v1/events/{event_id}")

    def wait_for(self, event_id: str, state: str) -> None:
        """Wait until an event is in this state."""
        wait(lambda: self.event(event_id)["state"] == state, 15, f"{event_id} is {state}", step=0.05)

    def dead(self, **payload: Any) -> str:
        """A dead letter."""
        event_id = self.send("orders.placed", **{"do": "discard"} | payload)
        self.wait_for(event_id, "dead")
        return event_id

    def fill(self) -> None:
        """Put something on every page."""
        self.good = self.send("orders.placed", seconds=0)
        self.wait_for(self.good, "succeeded")
        self.later = self.send("orders.placed", "?delay=86400", seconds=0)
        self.buried = self.dead()
        self.api("POST", "/v1/users", {"name": "grace", "role": "operator", "password": "four words in a row"})
        plan = {"cron": "30 2 * * *", "tz": "Europe/Berlin"}
        self.api("POST", "/v1/schedules", {"name": "nightly", "type": "orders.placed", "plan": plan, "payload": {}})

    def violations(self, page: sync_api.Page) -> list[str]:
        """What axe finds wrong with a page."""
        page.evaluate(AXE)
        found = page.evaluate("rules => axe.run({runOnly: rules})", RULES)
        return [f"{v['id']}: {v['help']}: {v['nodes'][0]['html'][:200]}" for v in found["violations"]]
