"""Who is alive: a failure detector (pure) and its UDP service."""
