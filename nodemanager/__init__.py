"""Who is in the cluster: node table, states, placement; where membership is kept."""
