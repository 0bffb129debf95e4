"""What we notice: metrics, their exposition, and logs.

Metrics listen to ``service.signals``; the business code names none of this. Each process counts for
itself, and a worker counts in its parent, which outlives its children.
"""
