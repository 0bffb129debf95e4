"""The app whose schedules are measured."""
