"""P5: FastAPI on uvicorn and Procrastinate; there is no broker, jobs wait in PostgreSQL."""
