"""P3: Flask and Dramatiq on RabbitMQ, with ``confirm_delivery``; Dramatiq acknowledges late by itself.

Its queues are classic ones, the default of its broker class.
"""
