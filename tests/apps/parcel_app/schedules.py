"""What comes round by itself."""

from schedules import cron, every

every("15s", "parcels.scanned", name="depot-poll", payload={"depot": "Hannover"})
every("5m", "invoices.issued", name="invoice-run")
cron("30 2 * * *", "settlements.closed", name="nightly-settlement", tz="Europe/Berlin", payload={"currency": "EUR"})
cron("0 9 * * MON-FRI", "addresses.geocoded", name="address-check", tz="America/New_York")
