"""What every front end does with its clients: admit and count them, receive, serve, answer."""
