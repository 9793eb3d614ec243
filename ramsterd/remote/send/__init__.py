"""Pages leave for peers: remotify, replicate, and where to."""
