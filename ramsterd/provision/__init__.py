"""Files for a new cluster: a certificate authority, and a folder for each node."""
