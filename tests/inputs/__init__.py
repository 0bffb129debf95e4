"""Bad input: what the door and the workers make of it. ``catalogue`` has the groups that are tried."""
