"""An app for tests and pictures of monitoring: a shop. Its work takes as long, and fails as often, as it is told."""
