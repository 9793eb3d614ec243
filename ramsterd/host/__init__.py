"""What the operating system gives: signals, threads, clocks, log streams, systemd, key files."""
