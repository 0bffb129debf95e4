"""The entry for WSGI servers: ``service.web.wsgi:app``. Only here does an import begin a process.

`millrace web` serves ``rsgi``, the same application behind an express lane.
"""

import atexit
import functools
import os

from service import bootstrap
from service.domain import processes
from service.web import create_app, door, guard, server

_road = bootstrap.web()
app = create_app(_road)
guard.tell(app, _road.settings)
_routes = [(method, rule.rule) for rule in app.url_map.iter_rules() for method in rule.methods or ()]
_obey = functools.partial(server.when_told_to_stop, _road.watch.stop)
_obey()
rsgi = door.Door(app, _road, on_loop=_obey)  # granian's loop has taken over the signals by then.
atexit.register(_road.intake.close)
bootstrap.watch(_road.settings, "web", _routes)
bootstrap.trace(_road.settings, "web")
_noter = bootstrap.noter_of(_road.settings, processes.Kind.WEB, _road.engine, lambda: _road.publisher.up)
_noter.start()
os.register_at_fork(after_in_child=_noter.start)  # A server may fork after it has loaded this.
atexit.register(bootstrap.end_traces)
bootstrap.settle_memory()
