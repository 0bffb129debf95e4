"""An app without any code but a schedule: it asks the receiver of a test every second."""
