"""The six dashboards, in the order in which a search for a fault goes through them."""

from monitoring.grafana.boards import ingest, letters, overview, processing, queues, schedules

BOARDS = (overview.BOARD, ingest.BOARD, processing.BOARD, queues.BOARD, schedules.BOARD, letters.BOARD)
