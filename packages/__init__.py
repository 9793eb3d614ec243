"""What is built from this repository to be installed: a Debian package, a container image, and what both hold.

Not part of what is installed.
"""
