"""How fast, how long, how often: token buckets, timeouts, backoff and the hedge delay."""
