"""P1: Flask, Celery and Flask-SQLAlchemy with the defaults that most of us begin with.

No publisher confirms, early acknowledgement, a classic queue: a crash loses what it catches.
"""
