"""An app for tests and pictures of the monitoring: a shop whose work takes as long, and fails as often, as it is told."""
