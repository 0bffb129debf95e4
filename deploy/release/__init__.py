"""What a release is made of: wheel and sdist that come out the same twice, what they run on, under which licences.

``make release``; docs/releases.md says what is made and how it is checked.
"""

import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXTRAS = ("embedded", "otel")  #: extras of those who run Millrace; the others are for those who make it
