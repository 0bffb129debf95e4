"""An app for tests of rolling deploys: its type is known to some processes and not yet to others."""
