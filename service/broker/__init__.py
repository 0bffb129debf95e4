"""How we speak: RabbitMQ through Celery's protocol."""
