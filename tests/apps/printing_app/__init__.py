"""An app for tests that prints where it should write to its log."""

print("The app is imported")  # noqa: T201
