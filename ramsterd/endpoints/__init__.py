"""What all sockets that others connect to share: accept, places, descriptors, hangups."""
