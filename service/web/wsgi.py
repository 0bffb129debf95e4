"""The entry for WSGI servers: ``service.web.wsgi:app``. Only here does an import begin a process."""

import atexit

from service import bootstrap
from service.web import create_app, server

_road = bootstrap.web()
app = create_app(_road)
_routes = [(method, rule.rule) for rule in app.url_map.iter_rules() for method in rule.methods or ()]
server.when_told_to_stop(_road.watch.stop)
atexit.register(_road.intake.close)
bootstrap.watch(_road.settings, "web", _routes)
bootstrap.trace(_road.settings, "web")
atexit.register(bootstrap.end_traces)
