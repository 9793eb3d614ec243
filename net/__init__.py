"""r2net: frames, handshake, one peer link, listener.  Never learns what a page is."""
