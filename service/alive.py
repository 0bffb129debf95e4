"""Asks one page of a process, for the health checks of containers: exit code 0 when the answer is 200, else 1.

``python -m service.alive http://127.0.0.1:5000/readyz``. It imports the standard library only, for it is started every
few seconds; images have neither curl nor wget.
"""

from __future__ import annotations

import http.client
import sys
import urllib.parse

PATIENCE = 4.0  #: seconds


def fault(url: str) -> str:
    """What is wrong with the process that answers there; empty when nothing is."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=PATIENCE)
    try:
        connection.request("GET", parts.path or "/")
        answer = connection.getresponse()
        body = answer.read(1000)
    except (OSError, http.client.HTTPException) as error:
        return f"{url}: {error}"
    finally:
        connection.close()
    return "" if answer.status == http.HTTPStatus.OK else f"{url}: {answer.status} {body.decode(errors='replace')}"


def main() -> None:
    """Ask the pages that the command line names."""
    urls = sys.argv[1:]
    faults = [found for url in urls if (found := fault(url))]
    for line in faults or ([] if urls else ["usage: python -m service.alive URL ..."]):
        sys.stderr.write(f"millrace: {line}\n")
    sys.exit(bool(faults) or not urls)


if __name__ == "__main__":
    main()
