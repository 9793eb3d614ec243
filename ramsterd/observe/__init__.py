"""What operators are shown: snapshot, metrics, log lines from counters, and the watch over the loop."""
