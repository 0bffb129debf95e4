"""An app for pictures of the console: a parcel service, with a gateway that fails and an import that lost a field."""
