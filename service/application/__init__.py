"""What we do: one file per use case. SQL, HTTP and AMQP are behind the ports."""
