"""P4: FastAPI on uvicorn (with uvloop and httptools), taskiq on RabbitMQ, an asyncpg pool.

Publisher confirms are the default of its broker library, and the queue is a quorum queue.
"""
