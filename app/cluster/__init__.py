"""Work on Ray: on this machine, or on a cluster whose nodes see the same files.

On each node an actor supervises the same worker process that does the work here; what it says comes back as it is said.
Ray itself is imported by the functions that need it.
"""
