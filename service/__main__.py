"""``python -m service`` is ``millrace``."""

from service.cli import main

main(prog_name="millrace")
