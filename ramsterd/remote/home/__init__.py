"""Pages come back, or are copied again, without a client: rebuild, recall, repatriate."""
