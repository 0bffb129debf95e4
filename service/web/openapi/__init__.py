"""The API described: OpenAPI 3.1 out of the URL map, the views' docstrings and the structs, and a page for people."""
